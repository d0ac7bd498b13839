import * as fc from 'fast-check';
import { expect } from 'vitest';
import type { Check } from '../../src/check/check.ts';
import { denialStatus } from '../../src/check/denial.ts';
import { readExplainQuestion } from '../../src/check/explain-question.ts';
import type { Explain } from '../../src/check/explain.ts';
import type { Explanation } from '../../src/check/explanation.ts';
import type { Outcome } from '../../src/check/outcome.ts';
import { checkInput } from '../support/check-input.ts';

/** A request as it is generated: by whom, and for what. */
export interface Asked {
  readonly token: string | undefined;
  readonly method: string;
  readonly path: string;
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

/**
 * Explains a request, then has it checked: the two must agree in everything that a client or a log can tell, and the
 * windows stood as they did when nobody had asked. Resolves to the outcome.
 */
export async function expectAgreement(
  { check, explain }: { readonly check: Check; readonly explain: Explain },
  { token, method, path }: Asked,
): Promise<Outcome> {
  const question = readExplainQuestion({ ...(token !== undefined && { token }), method, path });
  if (typeof question === 'string') throw new Error(question);
  const explanation = await explain(question);
  const outcome = await check(
    checkInput({
      id: '',
      method,
      path,
      source: '10.0.0.1',
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    }),
  );
  expect(gist(explanation)).toEqual(gistOf(outcome));
  expect(explanation.windows.map(({ scope, remaining }) => ({ scope, remaining }))).toEqual(
    remainingBefore(outcome),
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

/** One unit more where the request was charged. */
function remainingBefore(outcome: Outcome) {
  return (outcome.windows ?? []).map(({ window, remaining }) => ({
    scope: window.scope,
    remaining: outcome.denied ? remaining : remaining + 1,
  }));
}
