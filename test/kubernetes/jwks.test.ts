import { type CryptoKey, exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { DependencyError } from '../../src/dependency-error.ts';
import type { KubernetesAnswer, KubernetesRequest } from '../../src/kubernetes/client.ts';
import { createSignatureVerifier } from '../../src/kubernetes/jwks.ts';
import { createSecret } from '../../src/secret.ts';

interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: object;
}

const issuer = 'https://kubernetes.default.svc';
let first: SigningKey;
let second: SigningKey;
let elliptic: SigningKey;

async function makeKey(kid: string, alg: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

beforeAll(async () => {
  first = await makeKey('first', 'RS256');
  second = await makeKey('second', 'RS256');
  elliptic = await makeKey('elliptic', 'ES256');
});
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** An API server that publishes these keys; how often it was asked for them. */
function createKeyServer(...keys: readonly SigningKey[]) {
  let published: readonly SigningKey[] = keys;
  let fault: DependencyError | undefined;
  let fetches = 0;
  const request = async ({ path }: KubernetesRequest): Promise<KubernetesAnswer> => {
    if (path === '/openid/v1/jwks') fetches += 1;
    await Promise.resolve();
    if (fault !== undefined) throw fault;
    const body = path === '/openid/v1/jwks' ? { keys: published.map(({ jwk }) => jwk) } : { issuer };
    return { status: 200, body };
  };
  return {
    verifier: createSignatureVerifier({ client: { request } }),
    publish: (...next: readonly SigningKey[]) => {
      published = next;
    },
    fail: (next: DependencyError | undefined) => {
      fault = next;
    },
    fetches: () => fetches,
  };
}

const sign = async (key: SigningKey, header: Partial<JWTHeaderParameters> = {}) =>
  createSecret(
    await new SignJWT({ sub: 'x' })
      .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
      .sign(key.privateKey),
  );

const unsigned = (header: object) =>
  createSecret(`${Buffer.from(JSON.stringify(header)).toString('base64url')}.e30.c2lnbmF0dXJl`);

const outage = new DependencyError('kubernetes', 'unreachable');

describe('a signature', () => {
  it('of a published key is valid, whether RSA or elliptic', async () => {
    const { verifier, fetches } = createKeyServer(first, elliptic);
    expect(await verifier.verify(await sign(first))).toBe('valid');
    expect(await verifier.verify(await sign(elliptic))).toBe('valid');
    expect(fetches()).toBe(1);
  });

  it.each(['ES256', 'ES384', 'ES512', 'RS256'])(
    'by %s is told from one that is cut, or of other bytes',
    async (alg) => {
      const key = await makeKey('own', alg);
      const { verifier } = createKeyServer(key);
      const token = (await sign(key)).reveal();
      const [header = '', payload = '', signature = ''] = token.split('.');
      const bytes = Buffer.from(signature, 'base64url');
      const flipped = Buffer.from(bytes.map((byte, at) => (at === 9 ? byte ^ 1 : byte)));
      const forged = [
        bytes.subarray(1),
        Buffer.concat([bytes, Buffer.of(0)]),
        Buffer.alloc(bytes.length),
        flipped,
      ];
      expect(await verifier.verify(createSecret(token))).toBe('valid');
      for (const other of forged) {
        const text = `${header}.${payload}.${other.toString('base64url')}`;
        expect(await verifier.verify(createSecret(text))).toBe('invalid');
      }
      for (const text of [`${token}!`, `${token}.`, `${header}.${payload}.`, `${header}.${payload}`]) {
        expect(await verifier.verify(createSecret(text))).toBe('invalid');
      }
    },
  );

  it('of another key under a published name is invalid, without asking again', async () => {
    const { verifier, fetches } = createKeyServer(first);
    expect(await verifier.verify(await sign(second, { kid: 'first' }))).toBe('invalid');
    expect(await verifier.verify(await sign(elliptic, { kid: 'first' }))).toBe('invalid');
    expect(fetches()).toBe(1);
  });

  it.each([
    ['no algorithm', { alg: 'none', kid: 'first' }],
    ['a shared secret', { alg: 'HS256', kid: 'first' }],
    ['no algorithm named', { kid: 'first' }],
    ['no key named', { alg: 'RS256' }],
    ['a key that is no text', { alg: 'RS256', kid: 7 }],
  ])('by %s is invalid, and asks nobody', async (_name, header) => {
    const { verifier, fetches } = createKeyServer(first);
    expect(await verifier.verify(unsigned(header))).toBe('invalid');
    expect(fetches()).toBe(0);
  });

  it.each(['jwk', 'jku', 'x5c', 'x5u', 'crit', 'b64'])(
    'with a header %s is invalid, and asks nobody',
    async (name) => {
      const { verifier, fetches } = createKeyServer(first);
      const header = { alg: 'RS256', kid: 'first', [name]: name === 'jwk' ? second.jwk : ['x'] };
      expect(await verifier.verify(unsigned(header))).toBe('invalid');
      expect(fetches()).toBe(0);
    },
  );

  it('of what is no token is invalid', async () => {
    const { verifier } = createKeyServer(first);
    for (const text of ['', 'opaque', '..', 'a.b.c', 'e30.e30.e30']) {
      expect(await verifier.verify(createSecret(text))).toBe('invalid');
    }
  });

  it('that was altered is invalid', async () => {
    const { verifier } = createKeyServer(first);
    const [header = '', , signature = ''] = (await sign(first)).reveal().split('.');
    const payload = Buffer.from('{"sub":"system:admin"}').toString('base64url');
    expect(await verifier.verify(createSecret(`${header}.${payload}.${signature}`))).toBe('invalid');
  });
});

describe('keys', () => {
  it('are fetched once for many tokens that come at the same time', async () => {
    const { verifier, fetches } = createKeyServer(first, second);
    const tokens = await Promise.all([sign(first), sign(second), sign(first)]);
    const verdicts = await Promise.all(
      tokens.flatMap((token) => [verifier.verify(token), verifier.verify(token)]),
    );
    expect(new Set(verdicts)).toEqual(new Set(['valid']));
    expect(fetches()).toBe(1);
  });

  it('that are new are found at once', async () => {
    const server = createKeyServer(first);
    expect(await server.verifier.verify(await sign(first))).toBe('valid');
    vi.advanceTimersByTime(2_000);
    server.publish(second, first);
    expect(await server.verifier.verify(await sign(second))).toBe('valid');
    expect(server.fetches()).toBe(2);
  });

  it('that are unknown are asked for ten times a second at most, by all who wait together', async () => {
    const server = createKeyServer(first);
    await server.verifier.refresh();
    const forged = await Promise.all(
      Array.from({ length: 100 }, (_, index) => sign(second, { kid: `forged-${index}` })),
    );
    const waiting = Promise.all(forged.map((token) => server.verifier.verify(token)));
    server.publish(first, second);
    const fresh = server.verifier.verify(await sign(second));
    await vi.advanceTimersByTimeAsync(99);
    expect(server.fetches()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(new Set(await waiting)).toEqual(new Set(['invalid']));
    expect(await fresh).toBe('valid');
    expect(server.fetches()).toBe(2);
  });

  it('that came while a fetch was on its way are looked for in the next one', async () => {
    const server = createKeyServer(first);
    const begun = server.verifier.refresh();
    const token = await sign(second);
    const waiting = server.verifier.verify(token);
    await begun;
    server.publish(first, second);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await waiting).toBe('valid');
    expect(server.fetches()).toBe(2);
  });

  it('that were withdrawn are valid no longer', async () => {
    const server = createKeyServer(first, second);
    await server.verifier.refresh();
    server.publish(second);
    await vi.advanceTimersByTimeAsync(5 * 60_000);
    // Old keys serve while new ones are fetched.
    expect(await server.verifier.verify(await sign(second))).toBe('valid');
    await vi.advanceTimersByTimeAsync(1_000);
    const late = server.verifier.verify(await sign(first));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await late).toBe('invalid');
  });
});

describe('while keys can not be had', () => {
  it('nothing is known, and nobody waits for the next try', async () => {
    const server = createKeyServer(first);
    server.fail(outage);
    const token = await sign(first);
    expect(await server.verifier.verify(token)).toBe('unknown');
    expect(await server.verifier.verify(token)).toBe('unknown');
    expect(server.fetches()).toBe(1);
    expect(server.verifier.fault()).toBe(outage);
    expect(server.verifier.issuers()).toBeUndefined();
  });

  it('those that were had before go on serving', async () => {
    const server = createKeyServer(first);
    await server.verifier.refresh();
    server.fail(outage);
    await vi.advanceTimersByTimeAsync(5 * 60_000);
    expect(await server.verifier.verify(await sign(first))).toBe('valid');
    await vi.advanceTimersByTimeAsync(0);
    expect(server.fetches()).toBe(2);
    expect(await server.verifier.verify(await sign(second))).toBe('unknown');
    expect(server.verifier.issuers()).toEqual([issuer]);
  });

  it('they are asked for again every ten seconds, and found when they are back', async () => {
    const server = createKeyServer(first);
    server.fail(outage);
    const token = await sign(first);
    await server.verifier.verify(token);
    await vi.advanceTimersByTimeAsync(9_999);
    await server.verifier.verify(token);
    expect(server.fetches()).toBe(1);
    server.fail(undefined);
    await vi.advanceTimersByTimeAsync(1);
    await server.verifier.verify(token);
    await vi.advanceTimersByTimeAsync(0);
    expect(await server.verifier.verify(token)).toBe('valid');
    expect(server.verifier.fault()).toBeUndefined();
    expect(server.fetches()).toBe(2);
  });

  it.each([
    ['another status', { status: 404, body: {} }],
    ['no keys', { status: 200, body: { keys: 'none' } }],
    ['keys that are none', { status: 200, body: { keys: ['x'] } }],
  ])('by %s, that is a fault like any other', async (_name, answer) => {
    const verifier = createSignatureVerifier({ client: { request: async () => answer } });
    expect(await verifier.verify(await sign(first))).toBe('unknown');
    expect(verifier.fault()).toMatchObject({ code: 'malformed' });
  });

  it('two keys of one name leave the verdict to the TokenReview', async () => {
    const { verifier } = createKeyServer(first, { ...second, jwk: { ...second.jwk, kid: 'first' } });
    expect(await verifier.verify(await sign(first))).toBe('unknown');
  });

  it.each([{ use: 'enc' }, { alg: 'RS512' }, { kty: 'oct' }])(
    'a key of another use or algorithm, %o, verifies nothing',
    async (change) => {
      const { verifier } = createKeyServer({ ...first, jwk: { ...first.jwk, ...change } });
      expect(await verifier.verify(await sign(first))).toBe('unknown');
    },
  );

  it('a key that can not be used leaves the verdict to the TokenReview', async () => {
    const { verifier } = createKeyServer({
      ...first,
      jwk: { kty: 'RSA', kid: 'first', alg: 'RS256', n: 'AA', e: 'AQAB' },
    });
    expect(await verifier.verify(await sign(first))).toBe('unknown');
  });
});
