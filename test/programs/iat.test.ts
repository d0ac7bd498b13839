import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commands, iat, runIat } from '../../src/programs/iat.ts';
import { decodeIat } from '../../src/register/iat-token.ts';
import { formatDocument, parseDocument } from '../../src/register/document-store.ts';
import { createSecret } from '../../src/secret.ts';
import { type KeycloakStandIn, startKeycloakStandIn } from '../oidc/keycloak-stand-in.ts';
import { iatText } from '../register/memory-realm.ts';
import { startVaultStandIn, type VaultStandIn } from '../vault/vault-stand-in.ts';
import {
  administered,
  createRegistrarWorld,
  instance,
  recordIo,
  type RegistrarWorld,
} from './registrar-world.ts';

const daySeconds = 86_400;
const signal = new AbortController().signal;
let realm: KeycloakStandIn;
let vault: VaultStandIn;
let world: RegistrarWorld;

beforeEach(async () => {
  [realm, vault] = [await startKeycloakStandIn(), await startVaultStandIn()];
  world = await createRegistrarWorld({ realm, vault });
});
afterEach(async () => {
  await Promise.all([realm.stop(), vault.stop(), world.remove()]);
});

async function store(document: Readonly<Record<string, unknown>>): Promise<void> {
  const [folder, key] = [world.tokenPath.slice(0, world.tokenPath.lastIndexOf('/')), 'sso.example.com'];
  const kv = world.open(folder);
  const found = await kv.read(key, signal);
  await kv.write(key, formatDocument(document), found?.version, signal);
}

async function stored(): Promise<Readonly<Record<string, unknown>> | undefined> {
  const kv = world.open(world.tokenPath.slice(0, world.tokenPath.lastIndexOf('/')));
  const found = await kv.read('sso.example.com', signal);
  return found && parseDocument(found.content);
}

async function storeIssued(lifeSeconds = 30 * daySeconds): Promise<string> {
  const { token } = await realm.issueToken(lifeSeconds, 100);
  await store({ url: realm.issuer, 'initial-access-token': token });
  return token;
}

describe('iat status', () => {
  test('tells how the token is, and nothing of what it is', async () => {
    const token = await storeIssued();
    const io = recordIo();
    expect(await runIat(commands.status, world.file(), { io })).toBe(0);
    expect(io.output()).toContain('sso.example.com (prod, severity High): fine');
    expect(io.output()).toContain('100 of 100 clients (as we count, others not included)');
    expect(io.output()).toContain('(in 30 days)');
    expect(io.output()).toContain('usable      yes');
    expect(`${io.output()}${io.errors()}`).not.toContain(token);
  });

  test.each([
    ['soon', 6 * daySeconds],
    ['urgent', daySeconds],
  ])('exits 1 and says whom to turn to when it is %s', async (urgency, lifeSeconds) => {
    await storeIssued(lifeSeconds);
    const io = recordIo();
    expect(await runIat(commands.status, world.file(), { io })).toBe(1);
    expect(io.output()).toContain(`severity High): ${urgency}`);
    expect(io.output()).toContain('escalate to the identity team, #sso-help');
  });
});

describe('iat ticket', () => {
  test.each([
    ['prod', '30 days', 'High'],
    ['stage', '90 days', 'Medium'],
  ])('for %s has date, instance, number of clients and period', async (environment, period, severity) => {
    await store({
      current_iat: { id: 'jti-1', token: iatText({ iss: realm.issuer, jti: 'jti-1', exp: 1_798_869_600 }) },
    });
    const io = recordIo();
    const instances = [instance(realm, world.tokenPath, { environment })];
    expect(await runIat(commands.ticket, world.file({ instances }), { io })).toBe(0);
    const text = io.output();
    expect(text).toContain(`Subject: New Initial Access Token for 127.0.0.1 (${environment})`);
    expect(text).toMatch(/^ {2}Instance: +127\.0\.0\.1$/m);
    expect(text).toMatch(/^ {2}Expiry date: +2027-01-02 \(06:00 UTC, of the present token\)$/m);
    expect(text).toMatch(/^ {2}Number of clients: +100$/m);
    expect(text).toMatch(new RegExp(`^ {2}Expiration period: +${period}$`, 'm'));
    expect(text).toMatch(new RegExp(`^ {2}Severity: +${severity}$`, 'm'));
    expect(text).toContain('Delivery: by a link that works once, to the platform SREs.');
    expect(text).toContain('Escalation: the identity team, #sso-help');
    expect(text).toContain('Reference: iat/sso.example.com/jti-1');
  });

  test('can be asked for when there is no token at all', async () => {
    const io = recordIo();
    await runIat(commands.ticket, world.file(), { io });
    expect(io.output()).toMatch(/Expiry date: +no token is in place/);
    expect(io.output()).toContain('Reference: iat/sso.example.com/none');
  });
});

/** What it is, where it comes from, and how the answer begins. */
type Refusal = readonly [string, () => Promise<string>, string];

describe('iat set', () => {
  const set = async (input: string, acceptShorter = false) => {
    const io = recordIo(input);
    const code = await runIat(commands.set, world.file(), { io, acceptShorter });
    return { code, said: io.output(), errors: io.errors() };
  };

  test('puts a good token in place, keeps the previous one, and shows only its id and end', async () => {
    const old = await storeIssued(20 * daySeconds);
    const { id, token } = await realm.issueToken(30 * daySeconds, 100);
    const { code, said, errors } = await set(`${token}\n`);
    expect(code).toBe(0);
    expect(await stored()).toEqual({
      url: realm.issuer,
      'initial-access-token': token,
      'previous-initial-access-token': old,
    });
    expect(said).toContain(`token ${id} is in place, it expires at `);
    expect(JSON.parse(errors)).toMatchObject({
      event: 'iat_audit',
      action: 'set',
      outcome: 'done',
      tokenId: id,
    });
    expect(`${said}${errors}`).not.toContain(token);
    expect(await realm.remainingOf(id)).toBe(100);
  });

  test('keeps the rotated shape as it finds it', async () => {
    const old = await realm.issueToken(20 * daySeconds, 100);
    const older = await realm.issueToken(10 * daySeconds, 100);
    await store({ current_iat: old, previous_iat: older, note: 'kept' });
    const fresh = await realm.issueToken(30 * daySeconds, 100);
    expect((await set(fresh.token)).code).toBe(0);
    expect(await stored()).toEqual({ current_iat: fresh, previous_iat: old, note: 'kept' });
  });

  test('starts with the rotated shape where nothing was', async () => {
    const fresh = await realm.issueToken(30 * daySeconds, 100);
    expect((await set(fresh.token)).code).toBe(0);
    expect(await stored()).toEqual({ current_iat: fresh });
  });

  test.each([
    ['what is no token', async () => 'hello', 'The text on standard input is not a token.'],
    ['nothing', async () => '', 'The text on standard input is not a token.'],
    [
      "another realm's token",
      async () => iatText({ iss: 'https://other.example.com', jti: 'x' }),
      'The token is refused: it is for "https://other.example.com", not for ',
    ],
    [
      'a token of another type',
      async () => iatText({ iss: realm.issuer, typ: 'RegistrationAccessToken', jti: 'x' }),
      'The token is refused: it is a token of type "RegistrationAccessToken", not an InitialAccessToken.',
    ],
    [
      'an expired token',
      async () => iatText({ iss: realm.issuer, jti: 'x', exp: 1_600_000_000 }),
      'The token is refused: it expired at 2020-09-13T12:26:40.000Z.',
    ],
    [
      'a token that ends before the present one',
      async () => (await realm.issueToken(19 * daySeconds, 100)).token,
      'The token is refused: it expires at ',
    ],
    [
      'a token that lives shorter than agreed',
      async () => (await realm.issueToken(25 * daySeconds, 100)).token,
      'The token is refused: it lives 25 days from its issue on, tokens of sso.example.com are to live 30 days.',
    ],
    [
      'a token that the realm does not know',
      async () => {
        const { id, token } = await realm.issueToken(30 * daySeconds, 100);
        await realm.revokeToken(id);
        return token;
      },
      'The token is refused: the realm does not know it any more: it was revoked.',
    ],
    [
      'the token that is stored already',
      async () => String((await stored())?.['initial-access-token']),
      'The token is refused: it is the one that is stored already.',
    ],
  ] satisfies readonly Refusal[])('refuses %s in words, and changes nothing', async (_name, input, words) => {
    await storeIssued(20 * daySeconds);
    const before = await stored();
    const text = await input();
    const { code, said, errors } = await set(text);
    expect(code).toBe(1);
    expect(said.startsWith(words), said).toBe(true);
    expect(await stored()).toEqual(before);
    if (text.length > 40) expect(`${said}${errors}`).not.toContain(text);
  });

  test('takes a shorter-lived token if an operator says so', async () => {
    await storeIssued(20 * daySeconds);
    const { token } = await realm.issueToken(10 * daySeconds, 100);
    expect((await set(token, true)).code).toBe(0);
  });

  test('wants to know which instance where there are two', async () => {
    const other = {
      name: 'stage',
      environment: 'stage',
      issuer: `${realm.issuer}x`,
      token: { vault: 'secret/x/y' },
    };
    const io = recordIo('x');
    const file = world.file({ instances: [instance(realm, world.tokenPath), other] });
    expect(await runIat(commands.set, file, { io })).toBe(64);
    expect(io.errors()).toBe('name one with --instance: sso.example.com, stage');
    expect(await runIat(commands.set, file, { io, instance: 'nobody' })).toBe(64);
  });
});

describe('iat renew', () => {
  test('has the realm make a token and puts it in place', async () => {
    await storeIssued();
    const io = recordIo();
    const instances = [instance(realm, world.tokenPath, administered(realm))];
    expect(await runIat(commands.renew, world.file({ instances }), { io })).toBe(0);
    const document = await stored();
    const claims = decodeIat(createSecret(String(document?.['initial-access-token'])));
    expect(io.output()).toContain(`token ${claims?.id} is in place`);
    expect(await realm.remainingOf(claims?.id ?? '')).toBe(100);
    expect((claims?.expiresAtMs ?? 0) - Date.now()).toBeGreaterThan(29 * daySeconds * 1000);
  });

  test('says what to do where it is not ours to make one', async () => {
    await storeIssued();
    const io = recordIo();
    expect(await runIat(commands.renew, world.file(), { io })).toBe(1);
    expect(io.output()).toContain('ask for a token with `iat ticket`');
  });
});

test('a token on the command line is not taken, and not printed either', async () => {
  const io = recordIo();
  expect(await iat(['set', 'eyJhbGciOi.secret.token'], io)).toBe(64);
  expect(`${io.output()}${io.errors()}`).not.toContain('secret');
});
