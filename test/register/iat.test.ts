import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/dependency-error.ts';
import type { IatProblem } from '../../src/register/iat-state.ts';
import { iatText } from './memory-realm.ts';
import { storeIsDown } from './memory-store.ts';
import { cluster, clusters, createWorld, dayMs, iatKey, idOf, issuer, type World } from './world.ts';

const hour = 3_600_000;

/** Ways in which an Initial Access Token can be of no use. The type of the table asks for every problem. */
const breakages: Readonly<Record<Exclude<IatProblem, 'unreadable'>, (world: World) => string>> = {
  missing: (world) => {
    world.tokens.drop(iatKey);
    return 'nothing is stored at sso.example.com';
  },
  malformed: (world) => {
    world.tokens.put(iatKey, { 'initial-access-token': 'garbage' });
    return 'what is stored is not a token';
  },
  wrong_type: (world) => {
    world.tokens.put(iatKey, { token: iatText({ typ: 'RegistrationAccessToken', iss: issuer, jti: 'x' }) });
    return 'it is a token of type "RegistrationAccessToken", not an InitialAccessToken';
  },
  wrong_issuer: (world) => {
    world.tokens.put(iatKey, { token: iatText({ iss: 'https://other.example.com/realms/x', jti: 'x' }) });
    return `it is for "https://other.example.com/realms/x", not for ${issuer}`;
  },
  expired: (world) => {
    world.nowMs += 30 * dayMs;
    return 'it expired at 2026-12-22T06:00:00.000Z';
  },
  exhausted: (world) => {
    for (const token of world.realm.tokens.values()) token.remaining = 0;
    return 'all its registrations are used up';
  },
  revoked: (world) => {
    for (const id of world.realm.tokens.keys()) world.realm.revokeToken(id);
    return 'the realm does not know it any more: it was revoked';
  },
  rejected: (world) => {
    world.realm.loseSigningKey();
    return 'the realm refuses it though it is not expired: its signing key is gone, or the token is not genuine';
  },
};

describe('an Initial Access Token that is of no use', () => {
  test.each(Object.entries(breakages))(
    '%s: blocks creates with that reason, five removals and an update go on',
    async (problem, breakIt) => {
      const world = createWorld();
      world.clusters = clusters(7);
      await world.run();
      const detail = breakIt(world);
      world.clusters = [
        ...clusters(5, { status: 'disabled' }),
        cluster('cluster-06', { groupFilterRegex: 'x' }),
        cluster('cluster-07'),
        cluster('new'),
      ];
      const report = await world.run();
      expect(report.applied.map(({ action, outcome }) => `${action.kind} ${outcome}`)).toEqual([
        'update done',
        ...Array.from({ length: 5 }, () => 'remove done'),
      ]);
      expect(report.findings).toEqual([
        {
          kind: 'create_blocked',
          subject: idOf('new'),
          detail: `sso.example.com: the Initial Access Token is ${problem}: ${detail}`,
        },
      ]);
      expect(report.isConverged).toBe(false);
      expect(report.instances[0]).toMatchObject({ urgency: 'stopped', state: { problem } });
    },
  );

  test('does not fail a run that has nothing to create', async () => {
    const world = createWorld();
    world.clusters = clusters(2);
    await world.run();
    breakages.expired(world);
    const report = await world.run();
    expect(report.isConverged).toBe(true);
    expect(report.instances[0]?.urgency).toBe('stopped');
  });

  test('is unreadable, not missing, while its store is away', async () => {
    const world = createWorld();
    world.clusters = clusters(2);
    await world.run();
    world.tokens.setFault(storeIsDown);
    const report = await world.run();
    expect(report.instances[0]?.state).toMatchObject({
      problem: 'unreadable',
      detail: 'it could not be read (vault unreachable)',
    });
    expect(report.isConverged).toBe(true);
  });

  test('is called used up, not revoked, when the realm has forgotten it and our ledger is full', async () => {
    const world = createWorld({ instance: { clients: 3 } });
    world.clusters = clusters(3);
    await world.run();
    breakages.revoked(world);
    const report = await world.run();
    expect(report.instances[0]?.state.problem).toBe('exhausted');
  });

  test('that runs out in the middle of a run stops the creates after it, once', async () => {
    const world = createWorld();
    world.clusters = clusters(6);
    for (const token of world.realm.tokens.values()) token.remaining = 2;
    let registrations = 0;
    const report = await world.run(
      {},
      {
        registration: (inner) => ({
          ...inner,
          register: (...args) => {
            registrations += 1;
            return inner.register(...args);
          },
        }),
      },
    );
    expect(report.applied.map(({ outcome }) => outcome)).toEqual([
      'done',
      'done',
      'blocked',
      'skipped',
      'skipped',
      'skipped',
    ]);
    expect(registrations).toBe(3);
    expect(Object.keys(world.state.documents())).toEqual(['ledger.sso.example.com']);
  });
});

describe('counting what is left', () => {
  test('asks the realm where it may', async () => {
    const world = createWorld({ isAdministered: true });
    world.clusters = clusters(4);
    await world.run();
    expect((await world.run()).instances[0]?.state).toMatchObject({
      remaining: 96,
      remainingSource: 'admin',
    });
  });

  test('keeps a ledger of its own elsewhere, and starts a new page with a new token', async () => {
    const world = createWorld();
    world.clusters = clusters(4);
    await world.run();
    expect((await world.run()).instances[0]?.state).toMatchObject({
      remaining: 96,
      remainingSource: 'ledger',
    });
    world.tokens.put(iatKey, { 'initial-access-token': world.realm.issueToken(30 * dayMs, 100).token });
    expect((await world.run()).instances[0]?.state.remaining).toBe(100);
  });

  test('takes a token that never expires for what it is', async () => {
    const world = createWorld();
    const { id } = world.realm.issueToken(dayMs, 100);
    world.tokens.put(iatKey, { token: iatText({ iss: issuer, jti: id, exp: 0 }) });
    const report = await world.run();
    expect(report.instances[0]).toMatchObject({
      urgency: 'fine',
      state: { claims: { expiresAtMs: undefined } },
    });
  });
});

describe('renewal by itself', () => {
  const renewal = { beforeMs: 7 * dayMs, minRemaining: 10 };

  test('does nothing while there is time', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    world.nowMs += 23 * dayMs - hour;
    expect((await world.run()).instances[0]?.renewalDue).toBeUndefined();
  });

  test('puts a new token in place, keeps the old as the previous, and revokes it after the next good run', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    const old = world.tokens.documents()[iatKey]?.['initial-access-token'];
    world.nowMs += 23 * dayMs;
    const report = await world.run();
    expect(report.instances[0]?.renewal?.outcome).toBe('renewed');
    expect(world.tokens.documents()[iatKey]).toMatchObject({
      url: issuer,
      'previous-initial-access-token': old,
    });
    expect([...world.realm.tokens.keys()]).toHaveLength(2);

    const next = await world.run();
    expect(next.instances[0]?.hasRevokedPrevious).toBe(true);
    expect([...world.realm.tokens.keys()]).toHaveLength(1);
    expect(next.instances[0]?.state.problem).toBeUndefined();

    const changes = world.realm.changes();
    await world.run();
    expect(world.realm.changes()).toBe(changes);
  });

  test.each(['missing', 'malformed', 'expired', 'exhausted', 'revoked'] as const)(
    'heals a token that is %s, and the clients of the same run are registered with the new one',
    async (problem) => {
      const world = createWorld({ isAdministered: true, renewal });
      breakages[problem](world);
      world.clusters = clusters(2);
      const report = await world.run();
      expect(report.applied.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
      expect(report.isConverged).toBe(true);
    },
  );

  test('makes room for more clients than are left', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    for (const token of world.realm.tokens.values()) token.remaining = 12;
    world.clusters = clusters(20);
    const report = await world.run();
    expect(report.instances[0]?.renewalDue).toBe('12 registrations are left on it');
    expect(report.applied.every(({ outcome }) => outcome === 'done')).toBe(true);
    expect((await world.run()).instances[0]?.renewalDue).toBeUndefined();
  });

  test('does not renew for ever where an instance gives fewer clients than the threshold', async () => {
    const world = createWorld({ isAdministered: true, renewal, instance: { clients: 5 } });
    for (const token of world.realm.tokens.values()) token.remaining = 1;
    expect((await world.run()).instances[0]?.renewal?.outcome).toBe('renewed');
    expect((await world.run()).instances[0]?.renewalDue).toBeUndefined();
  });

  test('a dry run says that it is due and does nothing', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    world.nowMs += 24 * dayMs;
    const report = await world.run({ dryRun: true });
    expect(report.instances[0]?.renewalDue).toBe('it expires at 2026-12-22T06:00:00.000Z');
    expect(world.realm.changes()).toBe(0);
  });

  test('takes the new token back when somebody else wrote at the same time', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    world.nowMs += 24 * dayMs;
    const theirs = world.realm.issueToken(30 * dayMs, 100);
    const report = await world.run(
      {},
      {
        administration: (inner) => ({
          ...inner,
          createToken: async (...args) => {
            world.tokens.put(iatKey, { 'initial-access-token': theirs.token });
            return inner.createToken(...args);
          },
        }),
      },
    );
    expect(report.findings).toMatchObject([{ kind: 'renewal_failed' }]);
    expect(world.tokens.documents()[iatKey]?.['initial-access-token']).toBe(theirs.token);
    expect([...world.realm.tokens.keys()]).toEqual(['iat-1', theirs.id]);
  });

  test('takes the new token back when the store refuses it, so that none is left behind', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    world.nowMs += 24 * dayMs;
    world.tokens.refuseWrites(new DependencyError('vault', 'misconfigured'));
    for (let pass = 0; pass < 3; pass += 1) {
      const report = await world.run();
      expect(report.findings).toMatchObject([{ kind: 'renewal_failed', detail: 'vault misconfigured' }]);
    }
    expect([...world.realm.tokens.keys()]).toEqual(['iat-1']);
  });

  test('a write whose answer was lost counts as what the store then shows', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    world.nowMs += 24 * dayMs;
    world.tokens.loseAnswers(storeIsDown);
    const report = await world.run();
    expect(report.instances[0]?.renewal?.outcome).toBe('renewed');
    expect([...world.realm.tokens.keys()]).toHaveLength(2);
  });

  test('a store that is away is no reason to make tokens', async () => {
    const world = createWorld({ isAdministered: true, renewal });
    world.tokens.setFault(storeIsDown);
    const report = await world.run();
    expect(report.instances[0]?.renewalDue).toBeUndefined();
    expect(world.realm.changes()).toBe(0);
  });
});

test('no token and no secret shows in a report, however it is printed', async () => {
  const world = createWorld({ isAdministered: true });
  world.clusters = clusters(2);
  await world.run();
  world.clusters = clusters(2, { groupFilterRegex: 'x' });
  const report = await world.run();
  const printed = `${inspect(report, { depth: null, showHidden: true })}${JSON.stringify(report)}`;
  const secrets = [
    String(world.tokens.documents()[iatKey]?.['initial-access-token']),
    ...[...world.realm.clients.values()].map(({ secret }) => secret),
  ];
  for (const secret of secrets) expect(printed).not.toContain(secret);
});
