import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExplainQuestion } from '../../src/check/explain-question.ts';
import { checkInput } from '../support/check-input.ts';
import { arbitraryRequest, expectAgreement } from './explain-agreement.ts';
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
  ])('is refused in words that repeat no value: %j', (body, words) => {
    const read = readExplainQuestion(body);
    expect(read).toContain(words);
    expect(read).not.toContain('secret');
  });
});
