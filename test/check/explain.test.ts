import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readExplainQuestion } from '../../src/check/explain-question.ts';
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
  it('says what Check then does, for 1,000 generated requests', async () => {
    const authorizer = createAuthorizer(cluster, door);
    const reasons = new Set<string>();
    await fc.assert(
      fc.asyncProperty(arbitraryRequest(tokens, [...everyModel, faultyModel]), async (request) => {
        const outcome = await expectAgreement(authorizer, request);
        reasons.add(outcome.denied ? outcome.reason : outcome.kind);
      }),
      { numRuns: 1_000, seed: 11, endOnFailure: true },
    );
    expect([...reasons].sort()).toEqual([
      'access_unavailable',
      'credential_malformed',
      'credential_missing',
      'identity_unavailable',
      'model',
      'model_forbidden',
      'model_unknown',
      'no_tier',
      'path_invalid',
      'public',
      'requests_exceeded',
      'token_expired',
      'token_rejected',
      'token_revoked',
      'wrong_audience',
    ]);
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
});
