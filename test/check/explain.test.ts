import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExplainQuestion } from '../../src/check/explain-question.ts';
import { checkInput } from '../support/check-input.ts';
import { arbitraryBody, arbitraryRequest, expectAgreement } from './explain-agreement.ts';
import { createAuthorizer, createFuzzCluster, everyModel, faultyModel } from './fuzz-world.ts';

const door = {
  from: 'path',
  credentialHeaders: ['authorization'],
  public: ['/maas-api', '/v1/models'],
  identityOnly: ['/me'],
  cors: false,
} as const;

const cluster = await createFuzzCluster();
const tokens = cluster.people.map(({ token }) => token);

function asked(body: unknown) {
  const question = readExplainQuestion(body);
  if (typeof question === 'string') throw new Error(question);
  return question;
}

const tokenPolicy = `
- {name: free, groups: [free-users], limits: {tokens: [{limit: 3000, window: 1h}]}}
- name: tiny
  level: 1
  groups: [tiny-users]
  streamWithoutUsage: deny
  limits: {requests: [{limit: 50, window: 1h}], outputTokens: [{limit: 20000, window: 1h}]}
- name: premium
  level: 2
  groups: [premium-users]
  reserve: {maxTokens: 200}
  limits:
    requests: unlimited
    tokens: [{limit: 100000, window: 1h}]
    inputTokens: [{limit: 12000, window: 1h}]
    models: {llm/qwen-*: {weight: 3}}
`;

const chat = '/llm/llama/v1/chat/completions';

describe('an explanation', () => {
  // A thousand, in front of an API server: test/programs/explain.test.ts.
  it('says what Check then does, for 200 generated requests', async () => {
    const authorizer = createAuthorizer(cluster, door);
    const reasons = new Set<string>();
    await fc.assert(
      fc.asyncProperty(arbitraryRequest(tokens, [...everyModel, faultyModel]), async (request) => {
        const outcome = await expectAgreement(authorizer, request);
        reasons.add(outcome.denied ? outcome.reason : outcome.kind);
      }),
      { numRuns: 200, seed: 11, endOnFailure: true },
    );
    expect(reasons.size).toBeGreaterThan(10);
  });

  it('says what Check then does to bodies on budgets of tokens, for 200 generated requests', async () => {
    const authorizer = createAuthorizer(cluster, door, { policyText: tokenPolicy });
    const reasons = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        arbitraryRequest(tokens.slice(0, 3), ['llm/llama', 'llm/qwen-large']),
        arbitraryBody,
        async (request, body) => {
          const outcome = await expectAgreement(authorizer, { ...request, body });
          reasons.add(outcome.denied ? outcome.reason : `${outcome.kind} ${outcome.tier}`);
        },
      ),
      { numRuns: 200, seed: 3, endOnFailure: true },
    );
    for (const kind of ['tokens_exceeded', 'usage_required', 'model premium', 'model free', 'model tiny']) {
      expect(reasons).toContain(kind);
    }
  });

  it('takes a body that nothing is said of as empty, and says what it took to be reserved', async () => {
    const { explain } = createAuthorizer(cluster, door, { policyText: tokenPolicy });
    const { verdict, stages, windows } = await explain(asked({ token: tokens[1], path: chat }));
    expect(verdict).toBe('allowed');
    expect(windows).toMatchObject([{ unit: 'tokens', remaining: 3_000, needed: 1_000 }]);
    expect(stages.at(-1)?.says).toContain(
      'It reserves 1000 tokens: 0 for the prompt (a quarter of the bytes of its body), 1000 for the answer (reserve.maxTokens of the tier).',
    );
  });

  it('says how many tokens to ask for at most, where fewer would fit', async () => {
    const { explain, check } = createAuthorizer(cluster, door, { policyText: tokenPolicy });
    const headers = { authorization: `Bearer ${tokens[1]}` };
    const body = Buffer.from('{"max_tokens": 1424}');
    await check(checkInput({ id: '', headers, body, bodyBytes: 0 }));
    const ask = (most: number) =>
      explain(asked({ token: tokens[1], path: chat, metadata: { max_tokens: most, n: 3 }, bodyBytes: 400 }));
    const { reason, windows, stages } = await ask(1_000);
    expect(reason).toBe('tokens_exceeded');
    expect(windows).toMatchObject([{ remaining: 1_576, needed: 3_100, exceeded: true }]);
    expect(stages.at(-1)?.change).toMatch(/^Ask for at most 492 \(max_tokens\)/);
    expect(await ask(492)).toMatchObject({ verdict: 'allowed' });
    expect(await ask(493)).toMatchObject({ verdict: 'denied' });
  });

  it('is of every stage, in their order, with where the answer came from', async () => {
    const { explain } = createAuthorizer(cluster, door);
    const { stages, windows } = await explain(
      asked({ token: tokens[2], path: '/llm/llama/v1/chat/completions' }),
    );
    expect(stages.map(({ stage, verdict, source }) => [stage, verdict, source?.kind])).toEqual([
      ['route', 'passed', 'request'],
      ['credential', 'passed', 'request'],
      ['identity', 'passed', 'apiServer'],
      ['presence', 'passed', 'watch'],
      ['subject', 'passed', 'watch'],
      ['deniedList', 'passed', 'watch'],
      ['tier', 'passed', 'policy'],
      ['model', 'passed', 'request'],
      ['access', 'passed', 'apiServer'],
      ['limit', 'passed', 'counters'],
    ]);
    expect(windows).toMatchObject([{ limit: 5, remaining: 5, exceeded: false, line: 3 }]);
  });

  it('charges nothing, and leaves nothing behind that Check would use', async () => {
    const { explain, check } = createAuthorizer(cluster, door);
    const question = asked({ token: tokens[2], path: '/llm/llama/v1/chat/completions' });
    const sources = async () => {
      const { stages } = await explain(question);
      return ['identity', 'access'].map((name) => stages.find(({ stage }) => stage === name)?.source?.kind);
    };
    for (let times = 0; times < 10; times += 1) expect(await sources()).toEqual(['apiServer', 'apiServer']);
    const headers = { authorization: `Bearer ${tokens[2]}` };
    expect(await check(checkInput({ headers }))).toMatchObject({
      denied: false,
      windows: [{ remaining: 4 }],
    });
    expect(await sources()).toEqual(['cache', 'cache']);
  });

  it('looks at a person as the bearer of the token that they would be issued', async () => {
    const { explain } = createAuthorizer(cluster, door);
    const path = '/llm/llama/v1/chat/completions';
    const alone = await explain(asked({ user: 'tim', groups: ['nothing'], path }));
    expect(alone).toMatchObject({ verdict: 'denied', reason: 'no_tier', subject: 'tim' });
    expect(alone.stages.find(({ stage }) => stage === 'tier')?.change).toContain('tiny (line 3');
    const inTiny = await explain(asked({ user: 'tim', groups: ['tiny-users', 'free-users'], path }));
    expect(inTiny).toMatchObject({
      caller: { user: 'tim', groups: ['tiny-users', 'free-users'] },
      reason: 'model_forbidden',
      subject: 'tim',
      tier: 'tiny',
      model: 'llm/llama',
    });
    expect(inTiny.stages.find(({ stage }) => stage === 'identity')?.says).toContain(
      'system:serviceaccount:gw-tier-tiny:tim-',
    );
    const itself = await explain(asked({ user: 'system:serviceaccount:apps:robot', groups: [], path }));
    expect(itself.reason).toBe('no_tier');
  });

  it('says what would change a denial, for every reason of these requests', async () => {
    const { explain } = createAuthorizer(cluster, door);
    const ways = [
      [{ path: '/llm/llama' }, 'tiergate token'],
      [{ token: 'opaque', path: '/llm/llama' }, 'tiergate token'],
      [{ token: tokens[0], path: '/llm/../x' }, 'Envoy and a model server'],
      [{ token: tokens[0], path: '/v1' }, 'names a model'],
      [{ token: tokens[3], path: '/llm/llama' }, 'policy.defaultTier'],
      [{ token: tokens[5], path: '/llm/llama' }, 'POST /v1/tokens'],
      [{ token: tokens[1], path: '/llm/qwen-large' }, 'RoleBinding in namespace llm'],
      [{ token: tokens[0], path: `/${faultyModel}` }, 'Ask again'],
    ] as const;
    for (const [body, words] of ways) {
      const { stages } = await explain(asked(body));
      expect(stages.map(({ change }) => change ?? '').join('')).toContain(words);
    }
  });
});

describe('a question', () => {
  it.each([
    [[], 'must be a JSON object'],
    [{}, 'path must be'],
    [{ path: '/x', tokens: 'secret' }, 'tokens is not a known key'],
    [{ path: '/x', token: 'secret', user: 'u' }, 'either a token'],
    [{ path: '/x', token: 7 }, 'token must be'],
    [{ path: '/x', groups: ['g'] }, 'groups need a user'],
    [{ path: '/x', user: 'u', groups: 'g' }, 'groups must be'],
    [{ path: '/x', method: 'post' }, 'method must be'],
    [{ path: '/x', headers: { a: 1 } }, 'headers.a must be'],
    [{ path: '/x', context: 'x' }, 'context must be'],
    [{ path: '/x', metadata: { a: [] } }, 'metadata.a must be'],
    [{ path: '/x', bodyBytes: '7' }, 'bodyBytes must be'],
  ])('is refused in words that repeat no value: %j', (body, words) => {
    const read = readExplainQuestion(body);
    expect(read).toContain(words);
    expect(read).not.toContain('secret');
  });
});
