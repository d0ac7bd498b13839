import { expect, test } from 'vitest';
import { parseDocument } from '../../src/register/document-store.ts';
import { createSecret } from '../../src/secret.ts';
import { administrationAt, type RealmUnderTest, registrationAt } from '../oidc/registration-contract.ts';
import { Crash, createCrashingPorts } from './crash.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';
import { cluster, iatKey, startProcess, type Surroundings } from './world.ts';

const signal = new AbortController().signal;

/** Calls that leave something behind, in the realm or in the store; after any other one nothing has happened yet. */
const lasting = new Set(['register', 'put', 'delete', 'recover', 'write', 'remove']);

interface Stage extends Surroundings {
  readonly records: MemoryStore;
  readonly state: MemoryStore;
  readonly realm: RealmUnderTest & Surroundings['realm'];
  clusters: Surroundings['clusters'];
}

/** The crash tests against a realm over HTTP: the process dies after every call that lasts. */
export function describeCrashes(name: string, realmUnderTest: () => RealmUnderTest): void {
  test(`${name}: killed after any lasting call, the next run converges`, async () => {
    const stage = await setStage(realmUnderTest());
    const crashes: string[] = [];
    let round = 0;
    for (let call = 1; ; call += 1) {
      const begun = await begin(stage, round);
      const crashedIn = await crashAfter(stage, call);
      if (crashedIn === undefined) break;
      crashes.push(crashedIn);
      round += 1;
      const where = `call ${call}, after ${crashedIn}`;
      const next = await startProcess(stage, { isAdministered: true })();
      expect(next.findings, where).toEqual([]);
      await expectConverged(stage, begun.wanted, where);
    }
    for (const step of ['register', 'put', 'delete', 'write', 'remove']) expect(crashes).toContain(step);
    // One of everything: an update, a replacement, a removal, a client that vanished, a new one.
    expect(crashes.length).toBeGreaterThanOrEqual(18);
  });
}

async function setStage(realm: RealmUnderTest): Promise<Stage> {
  const tokens = createMemoryStore();
  tokens.put(iatKey, { token: (await realm.issueToken(30 * 86_400, 5_000)).token });
  return {
    records: createMemoryStore(),
    state: createMemoryStore(),
    tokens,
    realm: {
      ...realm,
      registration: registrationAt(realm, 'default'),
      administration: administrationAt(realm, 'default'),
    },
    clusters: [],
    nowMs: Date.now(),
  };
}

/** From whatever round came before: one of everything to be done, and nothing else. */
async function begin(stage: Stage, round: number): Promise<{ readonly wanted: readonly string[] }> {
  const before = `${process.pid}r${round}`;
  const after = `${process.pid}r${round + 1}`;
  const common = ['kept', 'changed', 'replaced', 'vanished'].map((name) => `${name}-${process.pid}`);
  const [kept = '', changed = '', replaced = '', vanished = ''] = common;
  const sharedNames = common.map((name) => cluster(name));
  stage.clusters = [
    ...sharedNames.filter(({ name }) => name !== replaced && name !== changed),
    cluster(changed, { groupFilterRegex: before }),
    cluster(replaced, { authName: before }),
    cluster(`new-${before}`),
  ];
  const ready = await startProcess(stage, {
    isAdministered: true,
    removal: { capClients: 100, absentAfterMs: 0 },
  })();
  if (!ready.isConverged) throw new Error(JSON.stringify(ready.findings));
  await deleteClient(stage, vanished);
  stage.clusters = [
    cluster(kept),
    cluster(vanished),
    cluster(changed, { groupFilterRegex: after }),
    cluster(replaced, { authName: after }),
    cluster(`new-${before}`, { status: 'disabled' }),
    cluster(`new-${after}`),
  ];
  const host = new URL(stage.realm.issuer).hostname;
  const id = (name: string, auth = 'redhat-sso'): string => `${name}-o1-${auth}-${host}`;
  return { wanted: [id(kept), id(vanished), id(changed), id(replaced, after), id(`new-${after}`)].sort() };
}

/** As the realm's administrators would. */
async function deleteClient(stage: Stage, name: string): Promise<void> {
  const id = Object.keys(stage.records.documents()).find((key) => key.startsWith(`${name}-`));
  const { realm } = stage;
  const found = await realm.administration.recoverClient({ by: 'clientId', value: id ?? '' }, signal);
  if (found === undefined) throw new Error(`${name} is not there`);
  await fetch(found.registrationClientUri, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${found.registrationAccessToken.reveal()}` },
  });
}

/** Undefined: the run came to its end alive. Counts only calls that last. */
async function crashAfter(stage: Stage, call: number): Promise<string | undefined> {
  const ports = createCrashingPorts({ call, when: 'after', isCounted: (step) => lasting.has(step) });
  const run = startProcess(
    stage,
    { isAdministered: true },
    {
      records: ports.store,
      state: ports.store,
      registration: ports.registration,
      administration: ports.administration,
    },
  );
  try {
    await run();
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
  }
  return ports.crashedIn()?.replace('after ', '');
}

async function expectConverged(stage: Stage, wanted: readonly string[], where: string): Promise<void> {
  const { records, realm, state } = stage;
  const registered = (await realm.clientIds()).filter(
    (id) => id.includes(`-${process.pid}`) && id.includes('-o1-'),
  );
  expect(registered, where).toEqual(wanted);
  expect(Object.keys(records.documents()).sort(), where).toEqual(wanted);
  expect(
    Object.keys(state.documents()).filter((key) => key.startsWith('intent.')),
    where,
  ).toEqual([]);
  for (const id of wanted) {
    const document = await records.read(id, signal);
    const secret = createSecret(String((document && parseDocument(document.content))?.['client_secret']));
    expect(await realm.registration.find(id, secret, signal), `${where}: ${id}`).toBe('present');
  }
  const writes = records.writes() + state.writes();
  const after = await startProcess(stage, { isAdministered: true })();
  expect(after.plan?.actions, where).toEqual([]);
  expect(records.writes() + state.writes(), where).toBe(writes);
}
