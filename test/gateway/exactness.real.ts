import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { chat } from './send.ts';

let installation: Installation;

beforeAll(async () => {
  installation = await startInstallation();
});

afterAll(() => installation.stop());

describe('many at once', () => {
  it('asks the API server once about a token and once about a model, however many ask', async () => {
    const authorizer = await installation.startAuthorizer();
    const envoy = await installation.startGateway(authorizer);
    const token = await installation.mint('cold@example.com', 'enterprise');
    const before = [installation.reviews('tokenreviews'), installation.reviews('subjectaccessreviews')];
    const answers = await Promise.all(Array.from({ length: 50 }, () => chat(envoy.port, token)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 200));
    const after = [installation.reviews('tokenreviews'), installation.reviews('subjectaccessreviews')];
    expect(after).toEqual(before.map((count) => count + 1));
    await authorizer.stop();
  });

  it('lets exactly twenty of four hundred pass through two authorizers, five times of five', async () => {
    const authorizers: readonly Authorizer[] = [
      await installation.startAuthorizer(),
      await installation.startAuthorizer(),
    ];
    const gateways = await Promise.all(
      authorizers.map((authorizer) => installation.startGateway(authorizer)),
    );
    for (let round = 0; round < 5; round += 1) {
      const token = await installation.mint(`crowd-${round}@example.com`, 'premium');
      const answers = await Promise.all(
        Array.from({ length: 400 }, (_, at) => chat(gateways[at % 2]?.port ?? 0, token)),
      );
      const count = (status: number) => answers.filter((answer) => answer.status === status).length;
      expect({ passed: count(200), denied: count(429), other: 400 - count(200) - count(429) }).toEqual({
        passed: 20,
        denied: 380,
        other: 0,
      });
    }
  });
});
