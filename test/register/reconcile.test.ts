import { describe, expect, test } from 'vitest';
import { describeAction } from '../../src/register/action.ts';
import type { PassReport } from '../../src/register/reconcile.ts';
import { cluster, clusters, createWorld, dayMs, idOf, issuer } from './world.ts';

function outcomes(report: PassReport): readonly string[] {
  return report.applied.map(({ action, outcome }) => `${action.kind} ${outcome}`);
}

function kinds(report: PassReport): readonly string[] {
  return report.findings.map(({ kind }) => kind);
}

describe('keeping SSO profiles as wanted', () => {
  test('registers thirty clusters, and the second run changes nothing and writes nothing', async () => {
    const world = createWorld();
    world.clusters = clusters(30);
    const first = await world.run();
    expect(outcomes(first)).toEqual(Array.from({ length: 30 }, () => 'create done'));
    expect(first.isConverged).toBe(true);
    expect(world.realm.clients.size).toBe(30);
    expect(Object.keys(world.state.documents())).toEqual(['ledger.sso.example.com']);

    const before = [
      world.records.writes(),
      world.state.writes(),
      world.tokens.writes(),
      world.realm.changes(),
    ];
    const second = await world.run();
    expect(second.plan?.actions).toEqual([]);
    expect(second.isConverged).toBe(true);
    expect([
      world.records.writes(),
      world.state.writes(),
      world.tokens.writes(),
      world.realm.changes(),
    ]).toEqual(before);
  });

  test('stores exactly the fields that existing readers expect', async () => {
    const world = createWorld();
    world.clusters = [cluster('a', { groupFilterRegex: '^team-.*$' })];
    await world.run();
    const id = idOf('a');
    const client = world.realm.clients.get(id);
    expect(world.records.documents()[id]).toEqual({
      client_id: id,
      client_name: id,
      client_secret: client?.secret,
      redirect_uris: ['https://oauth-openshift.apps.a.example.com/oauth2callback/redhat-sso'],
      registration_access_token: client?.token,
      registration_client_uri: `${issuer}/clients-registrations/default/${id}`,
      issuer,
      attributes: { 'group-filter-regex': '^team-.*$' },
    });
    expect(client?.scopes).toContain('regex-filtered-groups');
  });

  test('changes what differs, and stores the new registration access token', async () => {
    const world = createWorld();
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    world.clusters = [
      cluster('a', { consoleUrl: 'https://console-openshift-console.apps.moved.example.com' }),
      cluster('b', { groupFilterRegex: 'x' }),
    ];
    const report = await world.run();
    expect(outcomes(report)).toEqual(['update done', 'update done']);
    const record = world.records.documents()[idOf('a')];
    expect(record?.['redirect_uris']).toEqual([
      'https://oauth-openshift.apps.moved.example.com/oauth2callback/redhat-sso',
    ]);
    expect(record?.['registration_access_token']).toBe(world.realm.clients.get(idOf('a'))?.token);
    expect((await world.run()).plan?.actions).toEqual([]);
  });

  test('keeps fields of a record that it does not know', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    await world.run();
    const id = idOf('a');
    world.records.put(id, { ...world.records.documents()[id], request_uris: ['https://a.example.com'] });
    world.clusters = [cluster('a', { groupFilterRegex: 'x' })];
    await world.run();
    expect(world.records.documents()[id]?.['request_uris']).toEqual(['https://a.example.com']);
  });

  test('corrects a client that somebody else changed in the realm', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    await world.run();
    world.realm.editClient(idOf('a'), { redirectUris: ['https://elsewhere.example.com'] });
    expect(outcomes(await world.run())).toEqual(['update done']);
    expect(world.realm.clients.get(idOf('a'))?.redirectUris).toEqual([
      'https://oauth-openshift.apps.a.example.com/oauth2callback/redhat-sso',
    ]);
  });

  test('takes over a secret that was renewed in the realm', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    await world.run();
    world.realm.editClient(idOf('a'), { secret: 'renewed' });
    expect(outcomes(await world.run())).toEqual(['save done']);
    expect(world.records.documents()[idOf('a')]?.['client_secret']).toBe('renewed');
  });

  test('registers anew what vanished from the realm', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    await world.run();
    world.realm.deleteClient(idOf('a'));
    const report = await world.run();
    expect(report.applied.map(({ action }) => describeAction(action))).toEqual([
      `create  ${idOf('a')} (again: its realm does not know it any more)`,
    ]);
    expect(world.records.documents()[idOf('a')]?.['client_secret']).toBe(
      world.realm.clients.get(idOf('a'))?.secret,
    );
  });

  test('a dry run plans and changes nothing', async () => {
    const world = createWorld();
    world.clusters = clusters(3);
    const report = await world.run({ dryRun: true });
    expect(report.plan?.actions.map(({ kind }) => kind)).toEqual(['create', 'create', 'create']);
    expect(report.applied).toEqual([]);
    expect(world.realm.changes() + world.records.writes() + world.state.writes()).toBe(0);
  });
});

describe('replacing', () => {
  test('makes the successor before it removes the old client', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    await world.run();
    world.clusters = [cluster('a', { authName: 'new name' })];
    expect(outcomes(await world.run())).toEqual(['create done', 'remove done']);
    expect([...world.realm.clients.keys()]).toEqual([idOf('a', 'new-name')]);
    expect(Object.keys(world.records.documents())).toEqual([idOf('a', 'new-name')]);
  });

  test('leaves the old client alone while the successor can not be made', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    await world.run();
    world.tokens.put('sso.example.com', { token: 'garbage' });
    world.clusters = [cluster('a', { authName: 'other' })];
    const report = await world.run();
    expect(report.applied).toEqual([]);
    expect(kinds(report)).toEqual(['create_blocked', 'removal_waits']);
    expect([...world.realm.clients.keys()]).toEqual([idOf('a')]);
  });

  test('leaves the old client alone when the successor is refused in the same run', async () => {
    const world = createWorld();
    world.clusters = [cluster('a')];
    await world.run();
    world.clusters = [cluster('a', { authName: 'other' })];
    const report = await world.run(
      {},
      {
        registration: (inner) => ({ ...inner, register: async () => ({ outcome: 'refused', detail: 'no' }) }),
      },
    );
    expect(outcomes(report)).toEqual(['create failed', 'remove skipped']);
    expect(world.realm.clients.has(idOf('a'))).toBe(true);
  });

  test('gives the cluster time to change over where configured', async () => {
    const world = createWorld({ removal: { replacedAfterMs: dayMs } });
    world.clusters = [cluster('a')];
    await world.run();
    world.clusters = [cluster('a', { authName: 'other' })];
    await world.run();
    expect(world.realm.clients.size).toBe(2);
    await world.run();
    world.nowMs += dayMs - 1;
    await world.run();
    expect(world.realm.clients.size).toBe(2);
    world.nowMs += 1;
    await world.run();
    expect([...world.realm.clients.keys()]).toEqual([idOf('a', 'other')]);
  });
});

describe('removing', () => {
  test('removes a disabled cluster at once, client and record', async () => {
    const world = createWorld();
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    world.clusters = [cluster('a', { status: 'disabled' }), cluster('b')];
    expect(outcomes(await world.run())).toEqual(['remove done']);
    expect([...world.realm.clients.keys()]).toEqual([idOf('b')]);
    expect(Object.keys(world.records.documents())).toEqual([idOf('b')]);
  });

  test.each([
    ['absent', undefined],
    ['not ready', { ready: false }],
    ['without a console', { consoleUrl: undefined }],
    ['with external authentication', { externalAuth: true }],
  ])('waits for silence to last when a cluster is %s', async (_name, fields) => {
    const world = createWorld();
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    world.clusters = fields === undefined ? [cluster('b')] : [cluster('a', fields), cluster('b')];
    const waiting = await world.run();
    expect(kinds(waiting)).toEqual(['removal_waits']);
    expect(waiting.isConverged).toBe(true);
    world.nowMs += 3 * dayMs - 1;
    await world.run();
    expect(world.realm.clients.size).toBe(2);
    world.nowMs += 1;
    expect(outcomes(await world.run())).toEqual(['remove done']);
  });

  test('forgets the silence when the cluster is back', async () => {
    const world = createWorld();
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    for (let round = 0; round < 3; round += 1) {
      world.clusters = [cluster('b')];
      await world.run();
      world.nowMs += 2 * dayMs;
      world.clusters = [cluster('a'), cluster('b')];
      await world.run();
    }
    expect(world.realm.clients.size).toBe(2);
    expect(world.state.documents()['tombstones']).toEqual({ since: {} });
  });

  test('takes an empty discovery for evidence of nothing, however long it lasts', async () => {
    const world = createWorld();
    world.clusters = clusters(3);
    await world.run();
    world.clusters = [];
    await world.run({ allowMassDelete: true });
    world.nowMs += 30 * dayMs - 1000;
    const report = await world.run({ allowMassDelete: true });
    expect(kinds(report)).toEqual(['discovery_empty']);
    expect(report.isConverged).toBe(false);
    expect(world.realm.clients.size).toBe(3);
  });

  test('refuses a mass deletion with numbers, and does it when it is allowed', async () => {
    const world = createWorld();
    world.clusters = clusters(30);
    await world.run();
    world.clusters = [...clusters(6, { status: 'disabled' }), ...clusters(30).slice(6)];
    const refused = await world.run();
    expect(refused.findings).toEqual([
      {
        kind: 'mass_deletion_refused',
        subject: 'plan',
        detail:
          '6 of 30 stored clients would be removed, the cap of one run is 5: nothing is removed unless mass deletion is allowed',
      },
    ]);
    expect(world.realm.clients.size).toBe(30);
    const allowed = await world.run({ allowMassDelete: true });
    expect(outcomes(allowed)).toEqual(Array.from({ length: 6 }, () => 'remove done'));
    expect(world.realm.clients.size).toBe(24);
  });

  test('goes on with everything else while a mass deletion is refused', async () => {
    const world = createWorld();
    world.clusters = clusters(30);
    await world.run();
    world.clusters = [
      ...clusters(30, { status: 'disabled' }).slice(0, 28),
      ...clusters(30, { groupFilterRegex: 'x' }).slice(28),
      cluster('new'),
    ];
    expect(outcomes(await world.run())).toEqual(['update done', 'update done', 'create done']);
  });

  test('does not take a realm without its clients for an order to make them all anew', async () => {
    const world = createWorld();
    world.clusters = clusters(30);
    await world.run();
    for (const id of world.realm.clients.keys()) world.realm.deleteClient(id);
    const before = world.records.documents();
    const report = await world.run();
    expect(kinds(report)).toEqual(['mass_deletion_refused']);
    expect(world.records.documents()).toEqual(before);
    expect(outcomes(await world.run({ allowMassDelete: true }))).toHaveLength(30);
  });

  test('keeps the secret of a client that refuses its token and is still there, and says so', async () => {
    const world = createWorld();
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    world.realm.breakTokenOf(idOf('a'));
    world.clusters = [cluster('a', { status: 'disabled' }), cluster('b')];
    const report = await world.run();
    expect(outcomes(report)).toEqual(['remove failed']);
    expect(report.findings[0]).toMatchObject({ kind: 'registration_token_lost', subject: idOf('a') });
    expect(Object.keys(world.records.documents())).toContain(idOf('a'));
    expect(report.isConverged).toBe(false);
  });

  test('drops the record of a client that is gone already', async () => {
    const world = createWorld();
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    world.realm.deleteClient(idOf('a'));
    world.clusters = [cluster('a', { status: 'disabled' }), cluster('b')];
    expect(outcomes(await world.run())).toEqual(['remove done']);
    expect(Object.keys(world.records.documents())).toEqual([idOf('b')]);
  });

  test('has the administrator give out a new token for a lost one, to change and to remove', async () => {
    const world = createWorld({ isAdministered: true });
    world.clusters = [cluster('a'), cluster('b')];
    await world.run();
    world.realm.breakTokenOf(idOf('a'));
    world.realm.breakTokenOf(idOf('b'));
    world.clusters = [cluster('a', { status: 'disabled' }), cluster('b', { groupFilterRegex: 'x' })];
    const report = await world.run();
    expect(outcomes(report)).toEqual(['recover done', 'remove done']);
    expect(report.isConverged).toBe(true);
    expect([...world.realm.clients.keys()]).toEqual([idOf('b')]);
    expect((await world.run()).plan?.actions).toEqual([]);
  });
});
