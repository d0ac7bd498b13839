import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { KubernetesClient, KubernetesRequest } from '../../src/kubernetes/client.ts';
import { halfMadeAfterMs } from '../../src/issue/token-record.ts';
import {
  ask,
  audience,
  createTierNamespace,
  instance,
  type IssuerAnswer,
  type IssuerWorld,
  type Json,
  startIssuer,
  textOf,
} from '../issue/issuer-world.ts';
import { type KubeApiServer, startKubeApiServer } from './kube-apiserver.ts';

const steps = ['before the account', 'before the record', 'before the token', 'before the end'] as const;
type Step = (typeof steps)[number];

function nameOf(step: Step): string {
  return step.replaceAll(' ', '-');
}

const users = steps.map((step) => {
  const name = nameOf(step);
  return { name, token: `${name}-cluster-token`, groups: [] };
});

/** What is about to be sent when the API server dies. */
const isStep: Readonly<Record<Step, (request: KubernetesRequest) => boolean>> = {
  'before the account': ({ method, path }) => method === 'POST' && path.endsWith('/serviceaccounts'),
  'before the record': ({ method, path }) => method === 'POST' && path.endsWith('/secrets'),
  'before the token': ({ method, path }) => method === 'POST' && path.endsWith('/token'),
  'before the end': ({ method, path }) => method === 'PATCH' && path.includes('/secrets/'),
};

describe('an API server that dies while a token is made', () => {
  let kube: KubeApiServer;
  let issuer: IssuerWorld;
  let dieAt: ((request: KubernetesRequest) => boolean) | undefined;
  /** Tokens that the API server has made, handed out or not. */
  const made: string[] = [];

  beforeAll(async () => {
    kube = await startKubeApiServer({ users });
    await createTierNamespace(kube, 'free');
    issuer = await startIssuer(kube, kube.adminToken, {
      through: (client): KubernetesClient => ({
        ...client,
        request: async (request) => {
          if (dieAt?.(request) === true) {
            dieAt = undefined;
            await kube.kill();
          }
          const answer = await client.request(request);
          if (request.path.endsWith('/token')) made.push(tokenIn(answer.body));
          return answer;
        },
      }),
    });
  });

  afterAll(async () => {
    await issuer.close();
    await kube.stop();
  });

  const mint = (step: Step): Promise<IssuerAnswer> =>
    ask(issuer, { token: `${nameOf(step)}-cluster-token`, method: 'POST', path: '/v1/tokens' });

  it.each(steps)('%s: 503 with Retry-After', async (step) => {
    dieAt = isStep[step];
    const failed = await mint(step);
    expect({ status: failed.status, reason: failed.body['error']?.['reason'] }).toEqual({
      status: 503,
      reason: 'identity_unavailable',
    });
    expect(Number(failed.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(dieAt, 'the step was reached').toBeUndefined();
    // While it is away nobody can be told from anybody: 503 again.
    expect(await mint(step)).toMatchObject({ status: 503 });
    await kube.restart();
  });

  describe('once what was half-made is too old to be at work', () => {
    const orphans: string[] = [];

    beforeAll(async () => {
      orphans.push(...made);
      await new Promise((resolve) => setTimeout(resolve, halfMadeAfterMs + 1_000));
    });

    it.each(steps)('%s: nothing is listed, and the next mint heals', async (step) => {
      const listed = await ask(issuer, { token: `${nameOf(step)}-cluster-token`, path: '/v1/tokens' });
      expect(listed.body['data']).toEqual([]);
      const healed = await mint(step);
      expect(healed.status, JSON.stringify(healed.body)).toBe(201);
      expect(await recordsOf(nameOf(step))).toEqual([`tgt-${textOf(healed.body['id'])}`]);
    });

    it('a token that was made and not handed out is dead', async () => {
      // Of the last step alone: in the others none was made.
      expect(orphans).toHaveLength(1);
      for (const orphan of orphans) expect(await lives(orphan)).toBe(false);
    });
  });

  async function recordsOf(user: string): Promise<readonly string[]> {
    const { body } = await kube.client().get(`/api/v1/namespaces/${instance}-tier-free/secrets`);
    const items = (body as { readonly items: readonly Secret[] }).items;
    return items
      .filter(({ metadata }) => metadata.annotations?.['tiergate.dev/user'] === user)
      .map(({ metadata }) => metadata.name);
  }

  async function lives(token: string): Promise<boolean> {
    const { body } = await kube.client().post('/apis/authentication.k8s.io/v1/tokenreviews', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [audience] },
    });
    return Object.is((body as Json)['status']?.['authenticated'], true);
  }
});

interface Secret {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
}

function tokenIn(body: unknown): string {
  return (body as { readonly status: { readonly token: string } }).status.token;
}
