import { expect, test, vi } from 'vitest';
import { Registry } from 'prom-client';
import { createLog } from '../../src/process/log.ts';
import { createRegistrarMetrics } from '../../src/process/registrar-metrics.ts';
import { auditActions, startRegistrarLoop } from '../../src/programs/registrar-loop.ts';
import type { Reconcile } from '../../src/register/reconcile.ts';
import { clusters, createWorld, iatKey } from '../register/world.ts';

function metricsOf() {
  return createRegistrarMetrics({
    registry: new Registry(),
    integration: 'x',
    environment: 'y',
    escalation: 'z',
    pathOf: (name) => name,
  });
}

function recordLog() {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { lines, log: createLog({ level: 'info', write, now: Date.now }) };
}

test('passes again and again, and says what it did: who has which client, without a secret', async () => {
  const world = createWorld();
  world.clusters = clusters(2);
  const { lines, log } = recordLog();
  const reports: boolean[] = [];
  const loop = startRegistrarLoop({
    reconcile: () => world.run({}, { onApplied: auditActions(log) }),
    intervalMs: 1,
    metrics: metricsOf(),
    log,
    onPass: (report) => void reports.push(report.isConverged),
  });
  await vi.waitFor(() => expect(reports.length).toBeGreaterThan(2));
  await loop.stop();
  const audit = lines.filter(({ event }) => event === 'sso_audit');
  expect(audit).toMatchObject([
    { action: 'create', clientId: 'cluster-01-o1-redhat-sso-sso.example.com', outcome: 'done' },
    { action: 'create', clientId: 'cluster-02-o1-redhat-sso-sso.example.com', outcome: 'done' },
  ]);
  const printed = JSON.stringify(lines);
  for (const { secret, token } of world.realm.clients.values()) {
    expect(printed).not.toContain(secret);
    expect(printed).not.toContain(token);
  }
  expect(printed).not.toContain(world.tokens.documents()[iatKey]?.['initial-access-token']);
});

test('a renewal and a revocation are on record', async () => {
  const world = createWorld({ isAdministered: true, renewal: { beforeMs: 1, minRemaining: 10 } });
  for (const token of world.realm.tokens.values()) token.remaining = 1;
  const { lines, log } = recordLog();
  const loop = startRegistrarLoop({
    reconcile: () => world.run(),
    intervalMs: 1,
    metrics: metricsOf(),
    log,
    onPass: () => undefined,
  });
  await vi.waitFor(() =>
    expect(lines.filter(({ event }) => event === 'iat_audit')).toMatchObject([
      { action: 'renew', outcome: 'renewed', reason: '1 registrations are left on it', tokenId: 'iat-2' },
      { action: 'revoke_previous', revokedId: 'iat-1' },
    ]),
  );
  await loop.stop();
});

test('a bug in one pass is told, and the next pass comes', async () => {
  const { lines, log } = recordLog();
  const world = createWorld();
  let passes = 0;
  const reconcile: Reconcile = async (flags) => {
    passes += 1;
    if (passes === 1) throw new TypeError('a bug');
    return world.run(flags);
  };
  const loop = startRegistrarLoop({
    reconcile,
    intervalMs: 1,
    metrics: metricsOf(),
    log,
    onPass: () => undefined,
  });
  await vi.waitFor(() => expect(lines.some(({ event }) => event === 'sso_pass')).toBe(true));
  await loop.stop();
  expect(lines[0]).toMatchObject({ event: 'pass_crashed', level: 'error' });
});

test('stopping waits for the pass under way and begins no other', async () => {
  const world = createWorld();
  let isInside = false;
  let passes = 0;
  const reconcile: Reconcile = async (flags) => {
    passes += 1;
    isInside = true;
    await new Promise((resolve) => setTimeout(resolve, 20));
    isInside = false;
    return world.run(flags);
  };
  const loop = startRegistrarLoop({
    reconcile,
    intervalMs: 60_000,
    metrics: metricsOf(),
    log: recordLog().log,
    onPass: () => undefined,
  });
  await loop.stop();
  expect(isInside).toBe(false);
  expect(passes).toBe(1);
});
