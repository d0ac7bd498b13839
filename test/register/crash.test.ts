import { describe, expect, test } from 'vitest';
import { Crash, type CrashPoint, createCrashingPorts } from './crash.ts';
import { cluster, createWorld, idOf, type World } from './world.ts';

/** Something of everything: kept, changed, replaced, removed, vanished, new. */
async function beginning(isAdministered: boolean): Promise<World> {
  const world = createWorld({ isAdministered });
  world.clusters = ['kept', 'changed', 'replaced', 'removed', 'vanished'].map((name) => cluster(name));
  await world.run();
  world.realm.deleteClient(idOf('vanished'));
  world.clusters = [
    cluster('kept'),
    cluster('changed', { groupFilterRegex: '^x$' }),
    cluster('replaced', { authName: 'other' }),
    cluster('removed', { status: 'disabled' }),
    cluster('vanished'),
    cluster('new'),
  ];
  return world;
}

const wanted = [idOf('changed'), idOf('kept'), idOf('new'), idOf('replaced', 'other'), idOf('vanished')];

/** Runs once with a process that dies at the point. Undefined: it came to its end alive. */
async function crashAt(world: World, point: CrashPoint): Promise<string | undefined> {
  const ports = createCrashingPorts(point);
  const run = world.run(
    {},
    {
      records: ports.store,
      state: ports.store,
      registration: ports.registration,
      administration: ports.administration,
    },
  );
  const error: unknown = await run.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error !== undefined && !(error instanceof Crash)) throw error;
  return ports.crashedIn();
}

function secretsAgree(world: World): boolean {
  return Object.entries(world.records.documents()).every(
    ([id, record]) => record['client_secret'] === world.realm.clients.get(id)?.secret,
  );
}

describe.each(['before', 'after'] as const)('killed %s the effect of any call', (when) => {
  test('the next run converges: no orphan client, no lost secret, no left-over', async () => {
    const crashes: string[] = [];
    for (let call = 1; ; call += 1) {
      const world = await beginning(true);
      const crashedIn = await crashAt(world, { call, when });
      if (crashedIn === undefined) break;
      crashes.push(crashedIn);
      const where = `call ${call}, ${crashedIn}`;
      const next = await world.run();
      expect(next.isConverged, where).toBe(true);
      expect([...world.realm.clients.keys()].sort(), where).toEqual(wanted);
      expect(Object.keys(world.records.documents()).sort(), where).toEqual(wanted);
      expect(secretsAgree(world), where).toBe(true);
      const left = Object.keys(world.state.documents()).filter((key) => key.startsWith('intent.'));
      expect(left, where).toEqual([]);
      const writes = world.records.writes() + world.state.writes();
      const after = await world.run();
      expect(after.plan?.actions, where).toEqual([]);
      expect(world.records.writes() + world.state.writes(), where).toBe(writes);
    }
    // Every kind of step was among them, and there were many.
    for (const step of ['register', 'put', 'delete', 'write', 'remove', 'find', 'get'])
      expect(crashes).toContain(`${when} ${step}`);
    expect(crashes.length).toBeGreaterThan(40);
  });

  test('without an administrator no client is lost sight of and every secret still works', async () => {
    for (let call = 1; ; call += 1) {
      const world = await beginning(false);
      const crashedIn = await crashAt(world, { call, when });
      if (crashedIn === undefined) break;
      const where = `call ${call}, ${crashedIn}`;
      const next = await world.run();
      // What only an administrator can heal is said, and nothing else is wrong.
      expect(
        next.findings.every(({ kind }) => kind === 'registration_token_lost'),
        where,
      ).toBe(true);
      expect(Object.keys(world.records.documents()).sort(), where).toEqual(
        [...world.realm.clients.keys()].sort(),
      );
      for (const id of wanted) expect(world.realm.clients.has(id), `${where}: ${id}`).toBe(true);
      expect(secretsAgree(world), where).toBe(true);
    }
  });

  test('twice in a row, at any two calls, the third run converges', async () => {
    let crashes = 0;
    for (let first = 12; first < 60; first += 9) {
      for (let second = 8; second < 50; second += 5) {
        const world = await beginning(true);
        await crashAt(world, { call: first, when });
        if ((await crashAt(world, { call: second, when })) !== undefined) crashes += 1;
        const where = `calls ${first}, ${second}`;
        expect((await world.run()).isConverged, where).toBe(true);
        expect([...world.realm.clients.keys()].sort(), where).toEqual(wanted);
        expect(secretsAgree(world), where).toBe(true);
      }
    }
    expect(crashes).toBeGreaterThan(20);
  });
});

describe('an interrupted registration that nobody wants any more', () => {
  const interrupted = async (isAdministered: boolean): Promise<World> => {
    for (let call = 1; ; call += 1) {
      const world = createWorld({ isAdministered });
      world.clusters = [cluster('a'), cluster('b')];
      if ((await crashAt(world, { call, when: 'after' })) !== 'after register') continue;
      world.clusters = [cluster('b')];
      return world;
    }
  };

  test('is ended with the client that it left', async () => {
    const world = await interrupted(true);
    const report = await world.run();
    expect(report.applied.map(({ action, outcome }) => `${action.kind} ${outcome}`)).toEqual([
      'create done',
      'abandon done',
    ]);
    expect([...world.realm.clients.keys()]).toEqual([idOf('b')]);
  });

  test('is named as an orphan where nobody but an administrator could end it', async () => {
    const world = await interrupted(false);
    const report = await world.run();
    expect(report.findings).toMatchObject([{ kind: 'orphan', subject: idOf('a') }]);
    expect(report.isConverged).toBe(false);
  });
});
