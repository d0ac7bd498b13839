import { randomUUID } from 'node:crypto';
import { type ChannelCredentials, status } from '@grpc/grpc-js';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Consume, Decision } from '../../src/check/limit.ts';
import { createLimitDescriptors } from '../../src/check/limit-descriptors.ts';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { createIsBelieved } from '../../src/envoy/believed-peers.ts';
import { createRateLimitService, type RateLimitResult } from '../../src/envoy/rate-limit-service.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import type { RequestEnd } from '../../src/settle/request-end.ts';
import { describeOnEachTransport, serve } from './serve.ts';
import { callUnary, createServiceClient } from './service-client.ts';

const document = `
- {name: free, groups: [all], limits: {requests: [{limit: 5, window: 1m}]}}
- {name: staff, groups: [staff], limits: unlimited}
`;

interface RateLimitResponse {
  readonly overall_code: string;
  readonly statuses: readonly Readonly<Record<string, unknown>>[];
  readonly response_headers_to_add: readonly { readonly key: string; readonly value: string }[];
  readonly raw_body: Buffer;
}

interface SetUp {
  readonly consume?: Consume;
  readonly trust?: readonly string[];
  readonly channel?: ChannelCredentials;
}

async function setUp({ consume, trust = ['127.0.0.0/8'], channel }: SetUp = {}) {
  const parsed = parsePolicyFile(document, {
    instance: 'maas',
    defaultLimits: 'unlimited',
    defaultTier: undefined,
  });
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  const results: RateLimitResult[] = [];
  const faults: string[] = [];
  const ends: RequestEnd[] = [];
  const bugs: unknown[] = [];
  const service = createRateLimitService({
    limitDescriptors: createLimitDescriptors({
      policy: () => parsed.policy,
      ...createMemoryCounters({ now: Date.now }),
      ...(consume !== undefined && { consume }),
      newId: randomUUID,
      now: Date.now,
    }),
    settle: (end) => ends.push(end),
    isBelieved: createIsBelieved({ address: '127.0.0.1:0', isMutualTls: false, trust }),
    deadlineMs: 1000,
    now: Date.now,
    observe: (result) => results.push(result),
    onFault: (fault) => faults.push(fault),
    onError: (error) => bugs.push(error),
  });
  const { address, client } = await serve({ services: [service] });
  const stub = createServiceClient(service.definition, address, channel);
  const method = { definition: service.definition, method: 'ShouldRateLimit' };
  return {
    client,
    results,
    faults,
    ends,
    bugs,
    ask: (request: object, timeoutMs?: number) =>
      callUnary<RateLimitResponse>(stub, method, request, timeoutMs),
  };
}

const entries = (named: Readonly<Record<string, string>>) =>
  Object.entries(named).map(([key, value]) => ({ key, value }));
const alice = { entries: entries({ user: 'alice', tier: 'free' }) };

describeOnEachTransport('ShouldRateLimit', () => {
  it('tells limit, rest and reset of each descriptor', async () => {
    const { ask, results } = await setUp();
    const staff = { entries: entries({ user: 'eve', tier: 'staff' }) };
    const response = await ask({ domain: 'tiergate', descriptors: [alice, staff] });
    expect(response).toMatchObject({
      overall_code: 'OK',
      statuses: [
        {
          code: 'OK',
          current_limit: { name: 'requests-1m', requests_per_unit: 5, unit: 'MINUTE' },
          limit_remaining: 4,
          duration_until_reset: { seconds: 60 },
        },
        { code: 'OK', current_limit: null },
      ],
      response_headers_to_add: [],
    });
    expect(response.raw_body).toHaveLength(0);
    expect(results).toEqual(['ok']);
  });

  it('over the limit, has an answer for the client that says when to come again', async () => {
    const { ask, results } = await setUp();
    await ask({ domain: 'tiergate', descriptors: [{ ...alice, hits_addend: { value: 5 } }] });
    const response = await ask({ domain: 'tiergate', descriptors: [alice] });
    expect(response).toMatchObject({
      overall_code: 'OVER_LIMIT',
      statuses: [
        {
          code: 'OVER_LIMIT',
          limit_remaining: 0,
          duration_until_reset: { seconds: expect.toBeOneOf([59, 60]) },
        },
      ],
    });
    const headers = Object.fromEntries(
      response.response_headers_to_add.map(({ key, value }) => [key, value]),
    );
    expect(headers).toEqual({
      'content-type': 'application/json',
      'x-tiergate-reason': 'requests_exceeded',
      'retry-after': expect.stringMatching(/^(59|60)$/),
    });
    expect(JSON.parse(response.raw_body.toString())).toMatchObject({
      error: { type: 'rate_limit_error', code: 'rate_limit_exceeded', reason: 'requests_exceeded' },
    });
    expect(results).toEqual(['ok', 'over_limit']);
  });

  it("takes a descriptor's own number over the request's, and 0 of its own as a question only", async () => {
    const { ask } = await setUp();
    const left = async (hits_addend: number, own?: number) => {
      const descriptor = own === undefined ? alice : { ...alice, hits_addend: { value: own } };
      const { statuses } = await ask({ domain: 'tiergate', hits_addend, descriptors: [descriptor] });
      return statuses[0]?.['limit_remaining'];
    };
    expect(await left(5, 0)).toBe(5);
    expect(await left(0)).toBe(4);
    expect(await left(2)).toBe(2);
    expect(await left(5, 1)).toBe(1);
    expect(await left(0, 0)).toBe(1);
  });

  it('gives nothing back when hits are negative', async () => {
    const { ask } = await setUp();
    const descriptor = { ...alice, hits_addend: { value: 3 } };
    await ask({ domain: 'tiergate', descriptors: [descriptor] });
    const refund = { ...descriptor, is_negative_hits: true };
    expect(await ask({ domain: 'tiergate', descriptors: [refund] })).toMatchObject({
      statuses: [{ code: 'OK', limit_remaining: 2 }],
    });
  });

  it.each([
    ['an empty domain', { descriptors: [alice] }],
    ['no descriptors', { domain: 'tiergate' }],
    ['too many descriptors', { domain: 'tiergate', descriptors: Array.from({ length: 65 }, () => alice) }],
  ])('refuses %s as no argument', async (_what, request) => {
    const { ask, results } = await setUp();
    await expect(ask(request)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(results).toEqual(['invalid']);
  });

  it.each([
    ['tier_unknown', 'tiergate', { user: 'alice', tier: 'gold' }],
    ['user_missing', 'tiergate', { tier: 'staff' }],
    ['entry_unknown', 'tiergate', { user: 'alice', tier: 'free', remote_address: '10.0.0.1' }],
    ['domain_unknown', 'envoy', { user: 'alice', tier: 'free' }],
  ])('is over limit, and tells the operator why, where %s', async (fault, domain, named) => {
    const { ask, faults, results } = await setUp();
    const response = await ask({ domain, descriptors: [{ entries: entries(named) }, alice] });
    expect(response).toMatchObject({ overall_code: 'OVER_LIMIT', statuses: [{ code: 'OVER_LIMIT' }, {}] });
    expect(response.raw_body.toString()).toContain('limit_unavailable');
    expect(faults[0]).toBe(fault);
    expect(results).toEqual(['refused']);
    expect(await ask({ domain: 'tiergate', descriptors: [alice] })).toMatchObject({
      statuses: [{ limit_remaining: 4 }],
    });
  });

  it('fails as unavailable where nobody can tell, and before its caller gives up', async () => {
    const away = await setUp({ consume: () => Promise.reject(new DependencyError('redis', 'unreachable')) });
    const request = { domain: 'tiergate', descriptors: [alice] };
    await expect(away.ask(request)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    let deadlineAtMs = 0;
    const hung = await setUp({
      consume(claim) {
        ({ deadlineAtMs } = claim);
        return new Promise<Decision>(() => undefined);
      },
    });
    const startedAtMs = Date.now();
    await expect(hung.ask(request, 1000)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    expect(deadlineAtMs - startedAtMs).toBeLessThan(950);
    expect([...away.results, ...hung.results]).toEqual(['unavailable', 'unavailable']);
  });

  it('calls a bug a bug', async () => {
    const bug = new Error('a bug');
    const { ask, bugs, results } = await setUp({
      consume() {
        throw bug;
      },
    });
    await expect(ask({ domain: 'tiergate', descriptors: [alice] })).rejects.toMatchObject({
      code: status.INTERNAL,
      details: 'internal error',
    });
    expect(bugs).toEqual([bug]);
    expect(results).toEqual(['failed']);
  });

  it('is for peers that are believed alone, whatever they say', async () => {
    const { ask, results } = await setUp({ trust: ['10.0.0.0/8'] });
    for (const domain of ['tiergate', '']) {
      await expect(ask({ domain, descriptors: [alice] })).rejects.toMatchObject({
        code: status.PERMISSION_DENIED,
      });
    }
    expect(results).toEqual(['foreign', 'foreign']);
  });

  it('is known to health', async () => {
    const { client } = await setUp();
    expect(await client.health('envoy.service.ratelimit.v3.RateLimitService')).toEqual({
      status: 'NOT_SERVING',
    });
  });

  it('answers whatever comes: over limit, or one of its errors', async () => {
    const { ask, bugs, results } = await setUp();
    const text = fc.oneof(fc.constantFrom('user', 'tier', 'model', 'free', 'tiergate', ''), fc.string());
    const descriptor = fc.record(
      {
        entries: fc.array(fc.record({ key: text, value: text }), { maxLength: 5 }),
        hits_addend: fc.record({ value: fc.oneof(fc.nat(), fc.constantFrom(0, 2 ** 53, 1e18)) }),
        is_negative_hits: fc.boolean(),
      },
      { requiredKeys: ['entries'] },
    );
    const request = fc.record({
      domain: fc.oneof(fc.constant('tiergate'), text),
      descriptors: fc.array(descriptor, { maxLength: 4 }),
      hits_addend: fc.integer({ min: 0, max: 0xffff_ffff }),
    });
    await fc.assert(
      fc.asyncProperty(request, async (message) => {
        try {
          const { overall_code, statuses } = await ask(message);
          expect(statuses).toHaveLength(message.descriptors.length);
          const isOver = statuses.some(({ code }) => code === 'OVER_LIMIT');
          expect(overall_code).toBe(isOver ? 'OVER_LIMIT' : 'OK');
          if (!isOver) expect(message.domain).toBe('tiergate');
        } catch (error) {
          expect(error).toMatchObject({ code: status.INVALID_ARGUMENT });
        }
      }),
      { numRuns: 150 },
    );
    expect(bugs).toEqual([]);
    expect(results).not.toContain('failed');
  });
});

describeOnEachTransport('peers', () => {
  const peer = (name: string) => ({ getPeer: () => name });
  const believed = (trust: readonly string[], name: string) =>
    createIsBelieved({ address: '0.0.0.0:9090', isMutualTls: false, trust })(peer(name));

  it('are believed by their address, of either version', () => {
    expect(believed(['10.0.0.0/8'], '10.1.2.3:40000')).toBe(true);
    expect(believed(['10.0.0.0/8'], '11.1.2.3:40000')).toBe(false);
    expect(believed(['10.0.0.0/8'], '::ffff:10.1.2.3:40000')).toBe(true);
    expect(believed(['10.0.0.0/8'], '::ffff:11.1.2.3:40000')).toBe(false);
    expect(believed(['fd00::/8'], 'fd12::1:40000')).toBe(true);
    expect(believed(['fd00::/8'], 'fe80::1:40000')).toBe(false);
    expect(believed(['192.0.2.7'], '192.0.2.7:1')).toBe(true);
    expect(believed(['192.0.2.7'], '192.0.2.8:1')).toBe(false);
    expect(believed([], '127.0.0.1:1')).toBe(false);
  });

  it('without an address are not believed', () => {
    expect(believed(['0.0.0.0/0', '::/0'], 'unknown')).toBe(false);
    expect(believed(['0.0.0.0/0', '::/0'], '')).toBe(false);
  });

  it('on a socket, or with a certificate, are believed without one', () => {
    const isMutualTls = { isMutualTls: true, trust: [] };
    expect(createIsBelieved({ address: '0.0.0.0:1', ...isMutualTls })(peer('1.2.3.4:5'))).toBe(true);
    const isSocket = { address: 'unix:/run/tiergate.sock', isMutualTls: false, trust: [] };
    expect(createIsBelieved(isSocket)(peer('unknown'))).toBe(true);
  });

  it('are not told by what is no network', () => {
    expect(() => believed(['example.com'], '1.2.3.4:5')).toThrow(RangeError);
  });
});

describeOnEachTransport('a call when a stream is done', () => {
  const of = (usage: string, hits: number | undefined, more: object = {}) => ({
    entries: entries({ reservation: 'T.R', usage }),
    ...(hits !== undefined && { hits_addend: { value: hits } }),
    ...more,
  });
  const refund = of('reserved', 150, { is_negative_hits: true });
  const status200 = of('status', 200);
  const granted = new Map([['reservation_id', 'T.R']]);

  it('tells what was used, and charges nothing by itself', async () => {
    const { ask, ends, results } = await setUp({
      consume: () => {
        throw new Error('charged');
      },
    });
    const descriptors = [
      of('prompt_tokens', 7),
      of('completion_tokens', 3),
      of('total_tokens', 10),
      status200,
      of('response_bytes', 69),
      refund,
    ];
    const response = await ask({ domain: 'tiergate', descriptors });
    expect(response).toMatchObject({ overall_code: 'OK', statuses: descriptors.map(() => ({ code: 'OK' })) });
    const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10 };
    expect(ends).toEqual([{ granted, usage, status: 200, responseBytes: 69 }]);
    expect(results).toEqual(['settlement']);
  });

  it('tells of no usage where there is a refund alone, or a charge that is to be given back', async () => {
    const { ask, ends } = await setUp();
    await ask({ domain: 'tiergate', descriptors: [refund] });
    const negative = of('total_tokens', 10, { is_negative_hits: true });
    await ask({ domain: 'tiergate', descriptors: [negative, refund, of('status', 0)] });
    expect(ends).toEqual([
      { granted, usage: undefined, status: undefined, responseBytes: 0 },
      { granted, usage: undefined, status: 0, responseBytes: 0 },
    ]);
  });

  it.each([
    ['a word that is none', [of('tokens', 5)], 'entry_unknown'],
    ['no word', [{ entries: entries({ reservation: 'T.R' }) }], 'entry_unknown'],
    [
      'another entry',
      [{ entries: entries({ reservation: 'T.R', usage: 'status', user: 'x' }) }],
      'entry_unknown',
    ],
    [
      'two reservations',
      [status200, { entries: entries({ reservation: 'T.S', usage: 'reserved' }) }],
      'reservation_mixed',
    ],
    ['a limit beside it', [status200, alice], 'entry_unknown'],
    [
      'an entry twice',
      [{ entries: [...entries({ reservation: 'T.R', usage: 'status' }), { key: 'usage', value: 'status' }] }],
      'entry_repeated',
    ],
    ['a number twice', [status200, of('status', 500)], 'entry_repeated'],
  ])('with %s settles nothing, and is told of', async (_name, descriptors, fault) => {
    const { ask, ends, faults, results } = await setUp();
    const response = await ask({ domain: 'tiergate', descriptors });
    expect(response.overall_code).toBe('OVER_LIMIT');
    expect([ends, faults, results]).toEqual([[], [fault], ['refused']]);
  });

  it('of another domain, or of somebody who is not believed, settles nothing', async () => {
    const known = await setUp();
    await known.ask({ domain: 'other', descriptors: [status200] });
    expect([known.ends, known.faults]).toEqual([[], ['domain_unknown']]);
    const foreign = await setUp({ trust: ['10.0.0.0/8'] });
    await expect(foreign.ask({ domain: 'tiergate', descriptors: [status200] })).rejects.toMatchObject({
      code: status.PERMISSION_DENIED,
    });
    expect(foreign.ends).toEqual([]);
  });
});
