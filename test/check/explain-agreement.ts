import * as fc from 'fast-check';
import { expect } from 'vitest';
import type { Check } from '../../src/check/check.ts';
import { denialStatus } from '../../src/check/denial.ts';
import { readExplainQuestion } from '../../src/check/explain-question.ts';
import type { Explain } from '../../src/check/explain.ts';
import type { Explanation } from '../../src/check/explanation.ts';
import type { Outcome } from '../../src/check/outcome.ts';
import { demandMetadata } from '../../src/settle/demand.ts';
import { checkInput } from '../support/check-input.ts';

/** A request as it is generated: by whom, and for what. */
export interface Asked {
  readonly token: string | undefined;
  readonly method: string;
  readonly path: string;
  /** Absent: an empty one. */
  readonly body?: string;
}

export function arbitraryRequest(tokens: readonly string[], models: readonly string[]): fc.Arbitrary<Asked> {
  const segment = fc.constantFrom(
    'v1',
    'llm',
    'chat',
    '..',
    '.',
    '',
    '%2e',
    'a b',
    'llama;x',
    '?q=1',
    'maas-api',
  );
  const path = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...models).map((model) => `/${model}/v1/chat/completions`) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('/maas-api/v1/tokens', '/v1/models', '/v1/models-x', '/', '/llm', '*'),
    },
    { weight: 1, arbitrary: fc.array(segment, { maxLength: 5 }).map((parts) => `/${parts.join('/')}`) },
  );
  const token = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...tokens) },
    { weight: 1, arbitrary: fc.constantFrom(undefined, 'a.b.c', 'opaque', 'two words', 'é', 'e30.e30.e30') },
  );
  return fc.record({ token, method: fc.constantFrom('POST', 'GET', 'OPTIONS'), path });
}

/** Bodies of a few hundred tokens, most with a limit; some that a model server alone could make sense of. */
export const arbitraryBody: fc.Arbitrary<string> = fc.oneof(
  fc
    .record(
      {
        max_tokens: fc.oneof(fc.integer({ min: 1, max: 900 }), fc.constantFrom(null, '300', -1, 2.5)),
        max_completion_tokens: fc.oneof(fc.integer({ min: 1, max: 900 }), fc.constantFrom({}, 'many')),
        n: fc.constantFrom(1, 2, 3),
        stream: fc.constantFrom(true, false, 'on', []),
        stream_options: fc.constantFrom({ include_usage: true }, { include_usage: false }, null),
        prompt: fc.string({ maxLength: 1_200, minLength: 1 }),
      },
      { requiredKeys: [] },
    )
    .map((body) => JSON.stringify(body)),
  fc.constantFrom('', '{', '[]', 'null', '"x"'),
);

/**
 * Explains a request, then has it checked: the two must agree in everything that a client or a log can tell, and the
 * windows stood as they did when nobody had asked. Resolves to the outcome.
 */
export async function expectAgreement(
  { check, explain }: { readonly check: Check; readonly explain: Explain },
  { token, method, path, body = '' }: Asked,
): Promise<Outcome> {
  const bytes = Buffer.from(body);
  const question = readExplainQuestion({
    ...(token !== undefined && { token }),
    method,
    path,
    metadata: demandMetadata(bytes),
    bodyBytes: bytes.length,
  });
  if (typeof question === 'string') throw new Error(question);
  const explanation = await explain(question);
  const outcome = await check(
    checkInput({
      id: '',
      method,
      path,
      source: '10.0.0.1',
      body: bytes,
      bodyBytes: bytes.length,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    }),
  );
  expect(gist(explanation)).toEqual(gistOf(outcome));
  expect(remainingAfter(explanation)).toEqual(
    (outcome.windows ?? []).map(({ window: { scope, unit }, remaining }) => ({ scope, unit, remaining })),
  );
  expect(JSON.stringify(explanation)).not.toContain(token ?? 'eyJ');
  return outcome;
}

function gist({ verdict, status, reason, message, subject, tier, model }: Explanation) {
  return { verdict, status, reason, message, subject, tier, model };
}

function gistOf(outcome: Outcome) {
  const { subject, tier, model } = outcome;
  const known = { subject, tier, model: model?.id };
  if (!outcome.denied)
    return { verdict: 'allowed', status: 200, reason: undefined, message: undefined, ...known };
  const { reason, detail } = outcome;
  return { verdict: 'denied', status: denialStatus[reason].http, reason, message: detail, ...known };
}

/** What it needs less where the request is charged. */
function remainingAfter({ windows, verdict }: Explanation) {
  return windows.map(({ scope, unit, remaining = 0, needed = 0 }) => ({
    scope,
    unit,
    remaining: verdict === 'allowed' ? remaining - needed : remaining,
  }));
}
