import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/dependency-error.ts';
import { clusters, cluster, createWorld, idOf } from './world.ts';
import { storeIsDown } from './memory-store.ts';

const realmIsDown = new DependencyError('oidc', 'unreachable');

describe('a store that fails', () => {
  test('away from the start: nothing is asked of the realm that would have to be stored', async () => {
    const world = createWorld();
    world.clusters = clusters(3);
    world.state.setFault(storeIsDown);
    world.records.setFault(storeIsDown);
    const report = await world.run();
    expect(report.plan).toBeUndefined();
    expect(report.findings[0]).toMatchObject({ kind: 'dependency_failed', subject: 'store' });
    expect(world.realm.changes()).toBe(0);
  });

  test('away after it was read: the intent can not be written, so nothing is registered, nor tried thirty times', async () => {
    const world = createWorld();
    world.clusters = clusters(30);
    let writes = 0;
    const report = await world.run(
      {},
      {
        state: (inner) => ({
          ...inner,
          write: async () => {
            writes += 1;
            throw storeIsDown;
          },
        }),
      },
    );
    expect(world.realm.clients.size).toBe(0);
    expect(writes).toBe(1);
    expect(report.applied.map(({ outcome }) => outcome)).toEqual([
      'failed',
      ...Array.from({ length: 29 }, () => 'skipped'),
    ]);
  });

  test('away when the record is to be stored: the registration is undone', async () => {
    const world = createWorld();
    world.clusters = clusters(1);
    let attempts = 0;
    const report = await world.run(
      {},
      {
        records: (inner) => ({
          ...inner,
          write: async () => {
            attempts += 1;
            throw storeIsDown;
          },
        }),
      },
    );
    expect(attempts).toBe(4);
    expect(world.realm.clients.size).toBe(0);
    expect(world.realm.changes()).toBe(2);
    expect(world.state.documents()).toEqual({});
    expect(report.findings).toMatchObject([{ kind: 'dependency_failed' }]);
  });

  test('slow to answer: a write that happened although its answer was lost counts', async () => {
    const world = createWorld();
    world.clusters = clusters(2);
    let isFirst = true;
    const report = await world.run(
      {},
      {
        records: (inner) => ({
          ...inner,
          write: async (...args) => {
            const version = await inner.write(...args);
            if (!isFirst) return version;
            isFirst = false;
            throw new DependencyError('vault', 'timeout');
          },
        }),
      },
    );
    expect(report.isConverged).toBe(true);
    expect(world.realm.clients.size).toBe(2);
  });

  test('a client that can be neither stored nor undone is taken up by the next run', async () => {
    const world = createWorld({ isAdministered: true });
    world.clusters = clusters(1);
    const report = await world.run(
      {},
      {
        records: (inner) => ({ ...inner, write: () => Promise.reject(storeIsDown) }),
        registration: (inner) => ({ ...inner, remove: () => Promise.reject(realmIsDown) }),
      },
    );
    expect(report.findings).toMatchObject([{ kind: 'undo_failed' }]);
    expect((await world.run()).isConverged).toBe(true);
    expect(Object.keys(world.records.documents())).toEqual([...world.realm.clients.keys()]);
  });

  test('a record that somebody else stored meanwhile is not overwritten', async () => {
    const world = createWorld();
    world.clusters = clusters(1);
    const id = idOf('cluster-01');
    const report = await world.run(
      {},
      {
        registration: (inner) => ({
          ...inner,
          register: async (...args) => {
            world.records.put(id, { theirs: true });
            return inner.register(...args);
          },
        }),
      },
    );
    expect(report.findings).toMatchObject([{ kind: 'record_conflict' }]);
    expect(world.records.documents()[id]).toEqual({ theirs: true });
    expect(world.realm.clients.size).toBe(0);
  });

  test('missing rights are told by a dry run and keep a run from changing anything', async () => {
    const world = createWorld();
    world.clusters = clusters(1);
    const report = await world.run({}, { missingRights: async () => ['update on secret/x is not allowed'] });
    expect(report.findings).toMatchObject([
      { kind: 'store_forbidden', detail: 'update on secret/x is not allowed' },
    ]);
    expect(report.plan?.actions).toHaveLength(1);
    expect(world.realm.changes()).toBe(0);
  });
});

describe('a realm that fails', () => {
  test('stops its own actions after the first failure, and nothing is left half done', async () => {
    const world = createWorld();
    world.clusters = clusters(5);
    const report = await world.run(
      {},
      { registration: (inner) => ({ ...inner, register: () => Promise.reject(realmIsDown) }) },
    );
    expect(report.applied.map(({ outcome }) => outcome)).toEqual([
      'failed',
      'skipped',
      'skipped',
      'skipped',
      'skipped',
    ]);
    expect((await world.run()).isConverged).toBe(true);
    expect(Object.keys(world.state.documents())).toEqual(['ledger.sso.example.com']);
  });

  test('is one finding when nobody can be looked at, and nothing is changed or removed on account of it', async () => {
    const world = createWorld();
    world.clusters = clusters(20);
    await world.run();
    const report = await world.run(
      {},
      { registration: (inner) => ({ ...inner, read: () => Promise.reject(realmIsDown) }) },
    );
    expect(report.findings).toMatchObject([{ kind: 'dependency_failed', subject: 'sso.example.com' }]);
    expect(report.applied).toEqual([]);
  });
});

describe('documents that are not what they should be', () => {
  test('a record that can not be read is left alone and named', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    world.records.put(idOf('a'), { client_id: 'x' });
    world.records.put('notes', { hello: 'world' });
    const report = await world.run({ allowMassDelete: true });
    expect(report.findings.map(({ kind, subject }) => `${kind} ${subject}`)).toEqual([
      `record_malformed ${idOf('a')}`,
      'record_malformed notes',
    ]);
    expect(report.applied).toEqual([]);
    expect(Object.keys(world.records.documents())).toEqual([idOf('a'), 'notes']);
  });

  test('a record that would send its token to another host is not used', async () => {
    const world = createWorld();
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    const record = world.records.documents()[idOf('a')];
    world.records.put(idOf('a'), { ...record, registration_client_uri: 'https://evil.example.com/a' });
    world.clusters = [cluster('a', { status: 'disabled' }), cluster('b')];
    const asked: string[] = [];
    const report = await world.run(
      {},
      {
        registration: (inner) => ({
          ...inner,
          remove: async (stored) => {
            asked.push(stored.registrationClientUri);
            return 'removed';
          },
        }),
      },
    );
    expect(report.findings).toMatchObject([{ kind: 'foreign_uri', subject: idOf('a') }]);
    expect(asked).toEqual([]);
  });

  test("somebody else's client with our id is not taken over", async () => {
    const world = createWorld({ isAdministered: true });
    world.clusters = [cluster('a')];
    await world.run();
    await world.records.remove(idOf('a'), AbortSignal.timeout(1000));
    const before = world.realm.clients.get(idOf('a'))?.token;
    const report = await world.run();
    expect(report.findings).toMatchObject([{ kind: 'identifier_taken' }]);
    expect(world.realm.clients.get(idOf('a'))?.token).toBe(before);
  });
});

test('a registration token that could not be stored is kept by the process and stored by its next run', async () => {
  const world = createWorld();
  world.clusters = [cluster('a')];
  await world.run();
  world.clusters = [cluster('a', { groupFilterRegex: 'x' })];
  const run = world.process({
    registration: (inner) => ({
      ...inner,
      update: async (...args) => {
        const answer = await inner.update(...args);
        world.records.setFault(storeIsDown);
        return answer;
      },
    }),
  });
  expect((await run()).findings).toMatchObject([{ kind: 'token_not_persisted' }]);
  world.records.setFault(undefined);
  const healed = await run();
  expect(healed.isConverged).toBe(true);
  expect(world.records.documents()[idOf('a')]?.['registration_access_token']).toBe(
    world.realm.clients.get(idOf('a'))?.token,
  );
});
