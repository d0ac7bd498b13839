import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type DenialReason, denialStatus } from '../../src/check/denial.ts';
import type { WindowState } from '../../src/check/limit.ts';
import type { Outcome } from '../../src/check/outcome.ts';
import { createEncodeCheckResponse } from '../../src/envoy/check-response.ts';
import type { WindowUnit } from '../../src/policy/policy.ts';
import { type EnvoyMessages, loadEnvoyMessages } from './messages.ts';
import { perTwoMinutes, sampleAllowed, standing, tokensPerMinute } from './sample.ts';

const encode = createEncodeCheckResponse({ credentialHeaders: ['authorization'], realm: 'tiergate' });

let messages: EnvoyMessages;
beforeAll(async () => {
  messages = await loadEnvoyMessages();
});

interface HeaderOption {
  readonly header: { readonly key: string; readonly value: string };
  readonly append_action: string;
}

interface Decoded {
  readonly status: { readonly code?: number };
  readonly ok_response?: {
    readonly headers?: readonly HeaderOption[];
    readonly headers_to_remove?: readonly string[];
    readonly response_headers_to_add?: readonly HeaderOption[];
  };
  readonly denied_response?: {
    readonly status: { readonly code: string };
    readonly headers: readonly HeaderOption[];
    readonly body: string;
  };
  readonly dynamic_metadata: Readonly<Record<string, unknown>>;
}

function decoded(outcome: Outcome, forged: readonly string[] = []): Decoded {
  return messages.decodeResponse(encode(outcome, forged)) as unknown as Decoded;
}

function valuesOf(headers: readonly HeaderOption[] = []): Readonly<Record<string, string>> {
  // What is not an overwrite would leave a client's own value beside ours.
  for (const { append_action } of headers) expect(append_action).toBe('OVERWRITE_IF_EXISTS_OR_ADD');
  return Object.fromEntries(headers.map(({ header }) => [header.key, header.value]));
}

describe('an allowed CheckResponse', () => {
  it('overwrites identity headers, removes the rest, and tells the client its limits', () => {
    const { status, ok_response: ok, dynamic_metadata } = decoded(sampleAllowed);
    expect(status).toEqual({});
    expect(valuesOf(ok?.headers)).toEqual({
      'x-tiergate-user': 'alice@example.com',
      'x-tiergate-tier': 'premium',
      'x-tiergate-model': 'llm/llama',
    });
    expect(ok?.headers_to_remove).toContain('authorization');
    expect(valuesOf(ok?.response_headers_to_add)).toMatchObject({
      ratelimit: '"requests-2m";r=19;t=119',
      'x-ratelimit-remaining-requests': '19',
    });
    expect(dynamic_metadata).toEqual({
      user: 'alice@example.com',
      tier: 'premium',
      model: 'llm/llama',
      limits: [
        {
          name: 'requests-2m',
          unit: 'requests',
          limit: 20,
          window_seconds: 120,
          mode: 'enforce',
          remaining: 19,
          reset_seconds: 118.5,
          exceeded: false,
        },
      ],
    });
  });

  it('names who asks, in which tier and for what, whoever was answered before', () => {
    const { model, ...nameless } = sampleAllowed;
    for (const round of [1, 2]) {
      for (const subject of ['alice', 'bob', 'zoë %', `half \ud800 ${round}`]) {
        for (const tier of ['free', 'premium', 'premium llm/llama']) {
          for (const outcome of [
            { ...sampleAllowed, subject, tier },
            { ...nameless, subject, tier },
          ]) {
            const { ok_response: ok, dynamic_metadata: metadata } = decoded(outcome);
            const told = valuesOf(ok?.headers);
            const user = Buffer.from(subject).toString();
            expect(decodeURIComponent(told['x-tiergate-user'] ?? '')).toBe(user);
            expect(decodeURIComponent(told['x-tiergate-tier'] ?? '')).toBe(tier);
            const asked = 'model' in outcome ? model?.id : undefined;
            expect(told['x-tiergate-model']).toBe(asked);
            expect(metadata).toMatchObject({ user, tier });
            expect(metadata['model']).toBe(asked);
          }
        }
      }
    }
  });

  it('removes the headers that this very request forged', () => {
    const removed = (forged: string[]) => decoded(sampleAllowed, forged).ok_response?.headers_to_remove ?? [];
    expect(removed(['x-tiergate-user', 'x-maas-future'])).toEqual([...removed([]), 'x-maas-future']);
    expect(removed(['x_tiergate_user'])).toEqual([...removed([]), 'x_tiergate_user']);
    expect(removed([])).not.toContain('x-maas-future');
  });

  it('tells the model and Envoy of the tokens that are reserved, over what the client said', () => {
    const told = decoded({ ...sampleAllowed, reservation: { id: 'a.b', tokens: 1100 } });
    expect(told.dynamic_metadata).toMatchObject({ reservation_id: 'a.b', reserved_tokens: 1100 });
    expect(JSON.stringify(told.ok_response?.headers)).toContain('"x-tiergate-reservation","value":"a.b"');
    expect(told.ok_response?.headers_to_remove).not.toContain('x-tiergate-reservation');
    expect(decoded(sampleAllowed).ok_response?.headers_to_remove).toContain('x-tiergate-reservation');
  });

  it('leaves the token on public paths, and takes everything else that looks like an identity', () => {
    expect(decoded({ ...sampleAllowed, slotId: 'a.b' }).dynamic_metadata).toMatchObject({ slot_id: 'a.b' });
    const { ok_response: ok, dynamic_metadata } = decoded({ denied: false, kind: 'public', windows: [] });
    expect(ok?.headers).toBeUndefined();
    expect(ok?.headers_to_remove).toEqual(expect.arrayContaining(['x-tiergate-user', 'x-maas-username']));
    expect(ok?.headers_to_remove).not.toContain('authorization');
    expect(dynamic_metadata).toEqual({});
  });

  it('tells metadata every window in its order, shadow ones too', () => {
    const shadow = { ...perTwoMinutes, windowMs: 1500, limit: 3, mode: 'shadow' } as const;
    const windows = [
      standing(tokensPerMinute, 41_000.5, 12_345),
      { ...standing(shadow, -1, -1), exceeded: true },
      standing(perTwoMinutes, 0, 0),
    ];
    const { dynamic_metadata, ok_response } = decoded({ ...sampleAllowed, windows });
    expect(dynamic_metadata['limits']).toMatchObject([
      { name: 'tokens-1m', unit: 'tokens', limit: 50_000, remaining: 41_000.5, reset_seconds: 12.345 },
      { name: 'requests-1500ms', mode: 'shadow', remaining: 0, reset_seconds: 0, exceeded: true },
      { name: 'requests-2m', mode: 'enforce', remaining: 0, reset_seconds: 0, exceeded: false },
    ]);
    expect(valuesOf(ok_response?.response_headers_to_add)['ratelimit-policy']).not.toContain('1500');
  });
});

describe('a denied CheckResponse', () => {
  it('tells code, status, headers, body and metadata, and nothing of its cause', () => {
    const response = decoded({
      denied: true,
      reason: 'requests_exceeded',
      detail: 'The limit of your tier is used up for now.',
      retryAfterMs: 30_001,
      subject: 'bob',
      tier: 'free',
      model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
      windows: [{ ...standing(perTwoMinutes, 0, 90_000), exceeded: true }],
      cause: new Error('redis://user:secret@host'),
    });
    expect(response.status).toEqual({ code: 8, message: 'requests_exceeded' });
    expect(response.denied_response?.status).toEqual({ code: 'TooManyRequests' });
    expect(valuesOf(response.denied_response?.headers)).toMatchObject({
      'content-type': 'application/json',
      'x-tiergate-reason': 'requests_exceeded',
      'retry-after': '31',
      ratelimit: '"requests-2m";r=0;t=90',
    });
    expect(JSON.parse(response.denied_response?.body ?? '')).toMatchObject({
      error: { type: 'rate_limit_error', code: 'rate_limit_exceeded', reason: 'requests_exceeded' },
    });
    expect(response.dynamic_metadata).toMatchObject({
      user: 'bob',
      tier: 'free',
      model: 'llm/llama',
      reason: 'requests_exceeded',
      limits: [{ name: 'requests-2m', exceeded: true }],
    });
    expect(JSON.stringify(response)).not.toContain('secret');
  });

  it('is a denial whatever nobody could tell: never an error_response', () => {
    for (const reason of ['identity_unavailable', 'access_unavailable', 'limit_unavailable'] as const) {
      const response = decoded({ denied: true, reason, detail: 'Later.', retryAfterMs: 1000 });
      expect(response.denied_response?.status).toEqual({ code: 'ServiceUnavailable' });
      expect(response.status.code).toBe(14);
      expect(response).not.toHaveProperty('error_response');
    }
  });
});

describe('any outcome', () => {
  const anyText = fc.array(fc.nat(0xffff), { maxLength: 300 }).map((units) => String.fromCharCode(...units));
  const anyWindow: fc.Arbitrary<WindowState> = fc.record({
    window: fc.record({
      scope: fc.oneof(fc.constant('*'), anyText),
      unit: fc.constantFrom<WindowUnit>('requests', 'tokens', 'inputTokens', 'outputTokens'),
      windowMs: fc.integer({ min: 1, max: 1e12 }),
      limit: fc.integer({ min: 1, max: 1e12 }),
      mode: fc.constantFrom('enforce', 'shadow'),
    }),
    remaining: fc.integer({ min: -1, max: 1e12 }),
    resetAfterMs: fc.integer({ min: -1, max: 1e12 }),
    exceeded: fc.boolean(),
  });
  const knowledge = {
    subject: anyText,
    tier: fc.stringMatching(/^[a-z0-9-]{0,63}$/),
    model: fc.constant({ namespace: 'llm', name: 'llama', id: 'llm/llama' }),
    windows: fc.array(anyWindow, { maxLength: 5 }),
  };
  const anyOutcome = fc.oneof(
    fc.record(
      {
        ...knowledge,
        denied: fc.constant(false as const),
        kind: fc.constantFrom('public', 'identity', 'model'),
      },
      { requiredKeys: ['denied', 'kind', 'windows'] },
    ),
    fc.record(
      {
        ...knowledge,
        denied: fc.constant(true as const),
        reason: fc.constantFrom(...(Object.keys(denialStatus) as DenialReason[])),
        detail: anyText,
        retryAfterMs: fc.integer(),
      },
      { requiredKeys: ['denied', 'reason', 'detail'] },
    ),
  ) as fc.Arbitrary<Outcome>;

  it('is a CheckResponse by Envoy schema, with headers that HTTP carries and metadata that is what it says', () => {
    fc.assert(
      fc.property(anyOutcome, (outcome) => {
        const response = decoded(outcome);
        const { ok_response: ok, denied_response: denial, dynamic_metadata: metadata } = response;
        const headers = [
          ...(ok?.headers ?? []),
          ...(ok?.response_headers_to_add ?? []),
          ...(denial?.headers ?? []),
        ];
        for (const value of Object.values(valuesOf(headers))) expect(value).toMatch(/^[\x20-\x7e]+$/);
        expect((response.status.code ?? 0) === 0).toBe(!outcome.denied);
        expect(ok === undefined).toBe(outcome.denied);
        expect(denial === undefined).toBe(!outcome.denied);
        expect(metadata['user'] ?? '').toBe(Buffer.from(outcome.subject ?? '').toString());
        const { windows = [] } = outcome;
        expect(metadata['limits'] ?? []).toMatchObject(
          windows.map(({ window, remaining, resetAfterMs, exceeded }) => ({
            unit: window.unit,
            limit: window.limit,
            mode: window.mode,
            remaining: Math.max(0, remaining),
            reset_seconds: Math.max(0, resetAfterMs) / 1000,
            exceeded,
          })),
        );
      }),
      { numRuns: 500 },
    );
  });
});
