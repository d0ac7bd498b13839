import { Registry } from 'prom-client';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/process/log.ts';
import { createRegistrarMetrics } from '../../src/process/registrar-metrics.ts';
import { runOnce } from '../../src/programs/registrar.ts';
import type { RegistrarFile } from '../../src/programs/registrar-config-file.ts';
import { auditActions, startRegistrarLoop } from '../../src/programs/registrar-loop.ts';
import { createRegistrarParts } from '../../src/programs/registrar-parts.ts';
import { formatDocument, isSameDocument, parseDocument } from '../../src/register/document-store.ts';
import { decodeIat } from '../../src/register/iat-token.ts';
import { createSecret, type Secret } from '../../src/secret.ts';
import { registrationAt, type RealmUnderTest } from '../oidc/registration-contract.ts';
import {
  administered,
  createRegistrarWorld,
  instance,
  recordIo,
  type RegistrarOutside,
  type RegistrarWorld,
} from './registrar-world.ts';

/** A realm and a Vault under test: real ones, or those that claim to answer like them. */
export interface OutsideUnderTest extends RegistrarOutside {
  readonly realm: RealmUnderTest;
  readonly vault: RegistrarOutside['vault'] & {
    readonly expireLogins: () => Promise<void>;
    readonly setSealed: (isSealed: boolean) => Promise<void>;
  };
  /** An Initial Access Token of another realm. */
  readonly foreignToken: () => Promise<string>;
  /** One of this realm whose time is over. */
  readonly expiredToken: () => Promise<string>;
}

const signal = new AbortController().signal;
const apply = { dryRun: false, allowMassDelete: false };
const monthSeconds = 30 * 86_400;
let serial = 0;

interface WantedCluster {
  readonly status?: string;
  readonly authName?: string;
  readonly groupFilterRegex?: string;
  readonly console?: string;
}

/** One test's own folder, own clusters and own token in a realm that all tests share. */
interface Scene extends RegistrarWorld {
  readonly want: (clusters: Readonly<Record<string, WantedCluster>>) => Promise<void>;
  /** Client ids of this scene's clusters, without what all of them have in common. */
  readonly registered: () => Promise<readonly string[]>;
  readonly stored: () => Promise<readonly string[]>;
  readonly putToken: (token: string | undefined) => Promise<void>;
  readonly idOf: (cluster: string, authName?: string) => string;
  readonly run: (change?: Readonly<Record<string, unknown>>, flags?: typeof apply) => Promise<RunResult>;
}

interface RunResult {
  readonly code: number;
  readonly output: string;
}

async function setScene(outside: OutsideUnderTest): Promise<Scene> {
  serial += 1;
  const prefix = `s${process.pid}x${serial}-`;
  const world = await createRegistrarWorld(outside);
  onTestFinished(() => world.remove());
  const host = new URL(outside.realm.issuer).hostname;
  const idOf = (cluster: string, authName = 'redhat-sso'): string =>
    `${prefix}${cluster}-1Org2-${authName}-${host}`;
  const short = (ids: readonly string[]): readonly string[] =>
    ids
      .filter((id) => id.startsWith(prefix))
      .map((id) => id.slice(prefix.length).replace(`-1Org2-redhat-sso-${host}`, ''));
  const cut = world.tokenPath.lastIndexOf('/');
  const tokens = world.open(world.tokenPath.slice(0, cut));
  const scene: Scene = {
    ...world,
    idOf,
    want: (clusters) =>
      world.writeInventory(
        JSON.stringify(
          Object.entries(clusters).map(
            ([name, { console: domain = name, status, authName, groupFilterRegex }]) => ({
              name: `${prefix}${name}`,
              organizationId: '1Org2',
              consoleUrl: `https://console-openshift-console.apps.${domain}.example.com`,
              status,
              authName,
              groupFilterRegex,
            }),
          ),
        ),
      ),
    registered: async () => [...short(await outside.realm.clientIds())].sort(),
    stored: async () => [...short(await world.open(world.recordsPath).list(signal))].sort(),
    putToken: async (token) => {
      const key = world.tokenPath.slice(cut + 1);
      if (token === undefined) return tokens.remove(key, signal);
      const found = await tokens.read(key, signal);
      await tokens.write(key, formatDocument({ 'initial-access-token': token }), found?.version, signal);
    },
    run: async (change, flags = apply) => {
      const io = recordIo();
      const code = await runOnce(world.file(change), io, flags);
      return { code, output: io.output() };
    },
  };
  await scene.putToken((await outside.realm.issueToken(monthSeconds, 100)).token);
  return scene;
}

function names(
  prefix: string,
  count: number,
  wanted: WantedCluster = {},
): Readonly<Record<string, WantedCluster>> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index + 1}`, wanted]));
}

/** Everything that is stored, with versions: what a run that writes nothing leaves as it was. */
async function snapshot(scene: Scene): Promise<ReadonlyMap<string, { version: string; content: Secret }>> {
  const found = new Map<string, { version: string; content: Secret }>();
  for (const path of [scene.recordsPath, `${scene.recordsPath}-registrar`]) {
    const store = scene.open(path);
    for (const key of await store.list(signal)) {
      const document = await store.read(key, signal);
      if (document !== undefined) found.set(`${path} ${key}`, document);
    }
  }
  return found;
}

/** Every stored record opens its client: right secret, right registration access token. */
async function expectRecordsWork(scene: Scene, outside: OutsideUnderTest): Promise<void> {
  const store = scene.open(scene.recordsPath);
  const registration = registrationAt(outside.realm, 'default');
  for (const id of await store.list(signal)) {
    const document = await store.read(id, signal);
    const fields = document && parseDocument(document.content);
    const text = (name: string): string => String(fields?.[name]);
    expect(await registration.find(id, createSecret(text('client_secret')), signal), id).toBe('present');
    const read = await fetch(text('registration_client_uri'), {
      headers: { authorization: `Bearer ${text('registration_access_token')}` },
    });
    expect(read.status, id).toBe(200);
    await read.body?.cancel();
  }
}

/** What the registrar is for, from the process file's section to realm and Vault. */
export function describeRegistrar(name: string, outsideUnderTest: () => OutsideUnderTest): void {
  describe(`${name}: thirty clusters`, () => {
    test('are made, changed, replaced and removed; each second run changes and writes nothing', async () => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      await scene.want(names('c', 30));
      expect((await scene.run()).code).toBe(0);
      expect(await scene.registered()).toHaveLength(30);
      expect(await scene.stored()).toEqual(await scene.registered());
      await expectNothingToDo(scene);

      await outside.vault.expireLogins();
      await scene.want({
        ...names('c', 30),
        ...names('c', 20, { groupFilterRegex: '^team-.*$' }),
        ...names('c', 10, { console: 'moved' }),
      });
      const changed = await scene.run();
      expect(changed.output.match(/^done {4}update/gm)).toHaveLength(20);
      await expectNothingToDo(scene);

      await scene.want({
        ...names('c', 30, { authName: 'other' }),
        ...names('c', 10, { console: 'moved' }),
        ...names('c', 5, { status: 'disabled' }),
      });
      const replaced = await scene.run();
      expect(replaced.code).toBe(0);
      expect(replaced.output.match(/^done {4}create/gm)).toHaveLength(20);
      expect(replaced.output.match(/^done {4}remove .*\(replaced/gm)).toHaveLength(20);
      expect(replaced.output.match(/^done {4}remove .*\(disabled\)$/gm)).toHaveLength(5);
      expect(await scene.registered()).toHaveLength(25);
      expect(await scene.stored()).toEqual(await scene.registered());
      await expectNothingToDo(scene);
      await expectRecordsWork(scene, outside);
    });

    const expectNothingToDo = async (scene: Scene): Promise<void> => {
      const before = await snapshot(scene);
      const { code, output } = await scene.run();
      expect(code).toBe(0);
      expect(output).toContain('0 actions planned');
      const after = await snapshot(scene);
      expect([...after.keys()]).toEqual([...before.keys()]);
      for (const [key, { version, content }] of before) {
        const now = after.get(key);
        // The content too: an update in the realm would show as another registration access token.
        expect(now?.version, key).toBe(version);
        expect(now !== undefined && isSameDocument(now.content, content), key).toBe(true);
      }
    };
  });

  describe(`${name}: removing`, () => {
    test('refuses a mass deletion with numbers, and does it when it is allowed', async () => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      await scene.want(names('m', 8));
      await scene.run();
      await scene.want({ ...names('m', 8), ...names('m', 6, { status: 'disabled' }) });
      const refused = await scene.run();
      expect(refused.code).toBe(1);
      expect(refused.output).toContain('6 of 8 stored clients would be removed, the cap of one run is 5');
      expect(await scene.registered()).toHaveLength(8);
      expect((await scene.run({}, { dryRun: false, allowMassDelete: true })).code).toBe(0);
      expect(await scene.registered()).toEqual(['m7', 'm8']);
      expect(await scene.stored()).toEqual(['m7', 'm8']);
    });

    test('keeps the secret of a client that refuses its token and is still there, or is disabled', async () => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      await scene.want(names('k', 3));
      await scene.run();
      const store = scene.open(scene.recordsPath);
      const record = await store.read(scene.idOf('k1'), signal);
      const fields = {
        ...(record && parseDocument(record.content)),
        registration_access_token: 'superseded',
      };
      await store.write(scene.idOf('k1'), formatDocument(fields), record?.version, signal);
      await outside.realm.setEnabled(scene.idOf('k2'), false);
      await scene.want({ ...names('k', 2, { status: 'disabled' }), k3: {} });
      const { code, output } = await scene.run();
      expect(code).toBe(1);
      expect(output).toMatch(/^registration_token_lost: .*k1-.*the stored secret is kept$/m);
      expect(output).toMatch(/^client_disabled: .*k2-.*the stored secret is kept$/m);
      expect(await scene.stored()).toEqual(['k1', 'k2', 'k3']);
      expect(await scene.registered()).toEqual(['k1', 'k2', 'k3']);

      // With an administrator's account the first is healed, and what is disabled stays.
      const instances = [instance(outside.realm, scene.tokenPath, administered(outside.realm))];
      await scene.run({ instances });
      expect(await scene.registered()).toEqual(['k2', 'k3']);
      await outside.realm.setEnabled(scene.idOf('k2'), true);
      expect((await scene.run()).code).toBe(0);
      expect(await scene.registered()).toEqual(['k3']);
    });
  });

  const broken: Readonly<Record<string, (outside: OutsideUnderTest) => Promise<BrokenToken>>> = {
    expired: async ({ expiredToken }) => ({
      token: await expiredToken(),
      words: /is expired: it expired at /,
    }),
    'used up': async ({ realm }) => {
      const { token } = await realm.issueToken(monthSeconds, 1);
      const desired = {
        id: `used-${process.pid}-${Date.now()}`,
        issuer: '',
        redirectUris: ['https://x.example.com'],
        scopes: ['profile'],
        attributes: {},
      };
      await registrationAt(realm, 'default').register(
        desired,
        createSecret('x'),
        createSecret(token),
        signal,
      );
      return { token, words: /is exhausted: all its registrations are used up/ };
    },
    revoked: async ({ realm }) => {
      const { id, token } = await realm.issueToken(monthSeconds, 100);
      await realm.revokeToken(id);
      return { token, words: /is revoked: the realm does not know it any more: it was revoked/ };
    },
    garbage: async () => ({ token: 'garbage', words: /is malformed: what is stored is not a token/ }),
    "another realm's": async ({ foreignToken }) => ({
      token: await foreignToken(),
      words: /is wrong_issuer: it is for "http.*", not for http/,
    }),
    'not there': async () => ({ token: undefined, words: /is missing: nothing is stored at / }),
  };

  describe(`${name}: an Initial Access Token`, () => {
    test.each(Object.keys(broken))('that is %s blocks creates alone, with that reason', async (kind) => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      await scene.want(names('i', 6));
      await scene.run();
      const { token, words } = (await broken[kind]?.(outside)) ?? { token: '', words: /nothing/ };
      await scene.putToken(token);
      await scene.want({ ...names('i', 5, { status: 'disabled' }), i6: { groupFilterRegex: 'x' }, new: {} });
      const { code, output } = await scene.run();
      expect(code).toBe(1);
      expect(output.match(/^done {4}remove/gm)).toHaveLength(5);
      expect(output.match(/^done {4}update/gm)).toHaveLength(1);
      const blocked = /^create_blocked: .*$/m.exec(output)?.[0] ?? '';
      expect(blocked).toContain('new-1Org2');
      expect(blocked).toMatch(words);
      expect(await scene.registered()).toEqual(['i6']);
      const metrics = await metricsAfterPass(scene.file());
      expect(metrics).toMatch(/^rhidp_sso_client_blocked_creates\{.*\} 1$/m);
      expect(metrics).toMatch(/^rhidp_sso_client_iat_usable\{.*\} 0$/m);
      expect(metrics).toMatch(/^rhidp_sso_client_reconcile_errors_total\{.*\} 1$/m);
    });

    test('that is renewed is put in place with the previous one kept, which dies a good run later', async () => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      const old = await outside.realm.issueToken(monthSeconds, 3);
      await scene.putToken(old.token);
      await scene.want(names('p', 2));
      const instances = [
        instance(outside.realm, scene.tokenPath, {
          ...administered(outside.realm),
          renew: { minRemaining: 10 },
        }),
      ];
      expect((await scene.run({ instances })).output).toContain(
        'renewed, because 3 registrations are left on it',
      );
      expect(await outside.realm.remainingOf(old.id)).toBe(3);
      expect((await scene.run({ instances })).output).toContain('the previous one is revoked');
      expect(await outside.realm.remainingOf(old.id)).toBeUndefined();
      const kv = scene.open(scene.tokenPath.slice(0, scene.tokenPath.lastIndexOf('/')));
      const document = await kv.read('sso.example.com', signal);
      const current = document && parseDocument(document.content)?.['initial-access-token'];
      expect(await outside.realm.remainingOf(decodeIat(createSecret(String(current)))?.id ?? '')).toBe(98);
    });
  });

  describe(`${name}: a Vault that does not answer`, () => {
    test('sealed: nothing is registered, and all is made up for when it is open again', async () => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      await scene.want(names('v', 2));
      await outside.vault.setSealed(true);
      const sealed = await scene.run();
      await outside.vault.setSealed(false);
      expect(sealed.code).toBe(1);
      expect(await scene.registered()).toEqual([]);
      expect((await scene.run()).code).toBe(0);
      expect(await scene.stored()).toEqual(['v1', 'v2']);
    });

    test('down: nothing is registered', async () => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      await scene.want(names('d', 2));
      const vault = { url: 'http://127.0.0.1:1', appRole: { roleIdFile: 'role', secretIdFile: 'secret' } };
      const { code, output } = await scene.run({ vault });
      expect(code).toBe(1);
      expect(output).toContain('vault unreachable');
      expect(await scene.registered()).toEqual([]);
    });
  });
}

/** Takes as long as tokens live, which is seconds here: for real realms only. */
export function describeRenewalInTime(name: string, outsideUnderTest: () => OutsideUnderTest): void {
  describe(`${name}: an Initial Access Token, in real time`, () => {
    test('is renewed before its end while clients are registered all the time, and none fails', async () => {
      const outside = outsideUnderTest();
      const scene = await setScene(outside);
      const lifeSeconds = 8;
      await scene.putToken((await outside.realm.issueToken(lifeSeconds, 100)).token);
      const file = scene.file({
        instances: [
          instance(outside.realm, scene.tokenPath, {
            ...administered(outside.realm),
            life: `${lifeSeconds}s`,
            renew: { before: '4s' },
          }),
        ],
      });
      const { lines, stop } = await startLoop(file);
      const renewals = () => lines.filter(({ event, action }) => event === 'iat_audit' && action === 'renew');
      let count = 0;
      const until = Date.now() + 40_000;
      while (renewals().length < 3 && Date.now() < until) {
        count = Math.min(count + 1, 60);
        await scene.want(names('r', count));
        await sleep(250);
      }
      const registered = async () => (await scene.registered()).length;
      while ((await registered()) < count && Date.now() < until) await sleep(100);
      await stop();
      expect(renewals().length).toBeGreaterThanOrEqual(3);
      expect(renewals().every(({ outcome }) => outcome === 'renewed')).toBe(true);
      expect(lines.some(({ action }) => action === 'revoke_previous')).toBe(true);
      const audit = lines.filter(({ event }) => event === 'sso_audit');
      expect(audit.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
      expect(audit).toHaveLength(count);
      expect(lines.filter(({ event }) => event === 'sso_finding')).toEqual([]);
      expect(await registered()).toBe(count);
    }, 90_000);
  });
}

interface BrokenToken {
  readonly token: string | undefined;
  readonly words: RegExp;
}

async function metricsAfterPass(file: RegistrarFile): Promise<string> {
  const registry = new Registry();
  const metrics = createRegistrarMetrics({
    registry,
    integration: 'x',
    environment: 'y',
    escalation: 'z',
    pathOf: (instanceName) => instanceName,
  });
  const { reconcile } = await partsOf(file);
  metrics.observePass(await reconcile(apply, signal), 1, Date.now());
  return registry.metrics();
}

function partsOf(file: RegistrarFile, onApplied: ReturnType<typeof auditActions> = () => undefined) {
  return createRegistrarParts({
    config: file.registrar,
    kubernetes: () => Promise.reject(new TypeError('nothing is kept in Kubernetes here')),
    warn: () => undefined,
    onApplied,
    onRealmCall: () => undefined,
  });
}

async function startLoop(file: RegistrarFile) {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const log = createLog({ level: 'warn', write, now: Date.now });
  const { reconcile } = await partsOf(file, auditActions(log));
  const metrics = createRegistrarMetrics({
    registry: new Registry(),
    integration: 'x',
    environment: 'y',
    escalation: 'z',
    pathOf: (instanceName) => instanceName,
  });
  const loop = startRegistrarLoop({ reconcile, intervalMs: 200, metrics, log, onPass: () => undefined });
  return { lines, stop: loop.stop };
}
