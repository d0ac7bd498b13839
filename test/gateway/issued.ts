import { ownUsers } from '../../src/sandbox/seed.ts';
import { audience, type Installation, instance } from './installation.ts';

/** An access token, and what it stands on. */
export interface Issued {
  readonly token: string;
  readonly account: string;
  readonly secret: string | undefined;
  readonly namespace: string;
  readonly jti: string;
}

let accounts = 0;

export function accountsPath(tier: string): string {
  return `/api/v1/namespaces/${instance}-tier-${tier}/serviceaccounts`;
}

export function secretsPath(tier: string): string {
  return `/api/v1/namespaces/${instance}-tier-${tier}/secrets`;
}

/** Tokens of one fresh account, as the issuer makes them: each bound to a Secret of its own, or (MaaS) to none. */
export async function issue(
  { kube }: Pick<Installation, 'kube'>,
  user: string,
  { tier = 'enterprise', count = 1, bound = true } = {},
): Promise<readonly [Issued, ...Issued[]]> {
  const admin = kube.client();
  accounts += 1;
  const account = `issued-${accounts}`;
  const created = await admin.post(accountsPath(tier), {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: account, annotations: { 'tiergate.dev/user': user } },
  });
  if (created.status !== 201) throw new Error(`ServiceAccount: ${created.status}`);
  const issued: Issued[] = [];
  for (let index = 0; index < count; index += 1) {
    const secret = bound ? `tgt-${account}-${index}` : undefined;
    if (secret !== undefined) {
      await admin.post(secretsPath(tier), {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'tiergate.dev/access-token',
        metadata: { name: secret, labels: { 'tiergate.dev/token': 'true' } },
      });
    }
    const { status, body } = await admin.post(`${accountsPath(tier)}/${account}/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        audiences: [audience],
        expirationSeconds: 3600,
        ...(secret !== undefined && { boundObjectRef: { apiVersion: 'v1', kind: 'Secret', name: secret } }),
      },
    });
    if (status !== 201) throw new Error(`TokenRequest: ${status} ${JSON.stringify(body)}`);
    const { token } = (body as { readonly status: { readonly token: string } }).status;
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      readonly jti: string;
    };
    issued.push({ token, account, secret, namespace: `${instance}-tier-${tier}`, jti: claims.jti });
  }
  const [first, ...rest] = issued;
  if (first === undefined) throw new Error('no token');
  return [first, ...rest];
}

/** What the API server itself says of a token, asked as an authorizer asks. */
export async function isAuthenticated({ kube }: Pick<Installation, 'kube'>, token: string): Promise<boolean> {
  const { body } = await kube
    .client(ownUsers.authorizer.token)
    .post('/apis/authentication.k8s.io/v1/tokenreviews', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences: [audience] },
    });
  return (body as { readonly status: { readonly authenticated?: boolean } }).status.authenticated === true;
}

/** A policy without limits: what is measured is who passes, not how often. */
export async function setUnlimited({ kube }: Pick<Installation, 'kube'>): Promise<void> {
  const tiers = ['free', 'premium', 'enterprise'].map((name, level) => ({
    name,
    level,
    groups: [`tier-${name}-users`],
    limits: 'unlimited',
  }));
  const { status } = await kube.client().put('/api/v1/namespaces/tiergate/configmaps/tier-to-group-mapping', {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'tier-to-group-mapping', namespace: 'tiergate' },
    data: { tiers: JSON.stringify(tiers) },
  });
  if (status !== 200) throw new Error(`policy: ${status}`);
}

/** The value at a share (0.5, 0.99) of sorted measurements. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
