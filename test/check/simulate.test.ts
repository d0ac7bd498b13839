import { describe, expect, it } from 'vitest';
import { createSimulation, type LoggedDecision } from '../../src/check/simulate.ts';
import type { Simulation } from '../../src/check/simulation.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import type { Policy } from '../../src/policy/policy.ts';

function policyOf(text: string): Policy {
  const parsed = parsePolicyFile(text, {
    instance: 'gw',
    defaultLimits: 'unlimited',
    defaultTier: undefined,
  });
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  return parsed.policy;
}

const five = policyOf(
  '[{name: free, groups: [system:authenticated], limits: {requests: [{limit: 5, window: 2m}]}}]',
);

const startMs = Date.parse('2026-11-22T10:00:00Z');

function passed(atMs: number, more: Partial<LoggedDecision> = {}): LoggedDecision {
  return {
    atMs: startMs + atMs,
    subject: 'bob',
    tier: 'free',
    model: 'llm/llama',
    weight: 1,
    ...more,
  };
}

function simulated(
  policy: Policy,
  decisions: readonly LoggedDecision[],
  groupsOf?: (user: string) => readonly string[] | undefined,
): Simulation {
  const simulation = createSimulation({ policy, ...(groupsOf !== undefined && { groupsOf }) });
  for (const decision of decisions) simulation.add(decision);
  const result = simulation.result();
  if (typeof result === 'string') throw new Error(result);
  return result;
}

const times = (count: number, make: (at: number) => LoggedDecision) =>
  Array.from({ length: count }, (_none, at) => make(at));

describe('a simulation', () => {
  it('denies what the window has no room for, and lets pass again when it has', () => {
    const { total, byUser, byTier, byModel, deniedBy } = simulated(five, [
      ...times(8, (at) => passed(at * 1000)),
      passed(200_000),
    ]);
    expect(total).toEqual({ requests: 9, deniedThen: 0, deniedNow: 3, newlyDenied: 3, newlyAllowed: 0 });
    expect(byUser).toEqual([{ name: 'bob', ...total }]);
    expect(byTier).toEqual([{ name: 'free', ...total }]);
    expect(byModel).toEqual([{ name: 'llm/llama', ...total }]);
    expect(deniedBy).toEqual([
      { tier: 'free', scope: '*', unit: 'requests', windowMs: 120_000, limit: 5, denied: 3 },
    ]);
  });

  it('charges only what passes, each user apart', () => {
    const { byUser } = simulated(five, [
      ...times(50, () => passed(0)),
      ...times(5, () => passed(1, { subject: 'alice' })),
    ]);
    expect(byUser.map(({ name, deniedNow }) => [name, deniedNow])).toEqual([
      ['bob', 45],
      ['alice', 0],
    ]);
  });

  it('lets pass what a limit denied then, and leaves other denials as they are', () => {
    const { total, unaffected } = simulated(five, [
      passed(0),
      passed(1, { reason: 'requests_exceeded' }),
      passed(2, { reason: 'token_expired' }),
      passed(3, { reason: 'model_forbidden' }),
      passed(4, { reason: 'concurrency_exceeded' }),
    ]);
    expect(total).toEqual({ requests: 3, deniedThen: 2, deniedNow: 1, newlyDenied: 0, newlyAllowed: 1 });
    expect(unaffected).toEqual({ token_expired: 1, model_forbidden: 1 });
  });

  it('counts a line of a sampled log for as many as it stands for, and says where that is too coarse', () => {
    const { total, notes } = simulated(five, [passed(0, { weight: 4 }), passed(1, { weight: 4 })]);
    expect(total).toMatchObject({ requests: 8, deniedNow: 3 });
    expect(notes.join()).toContain('finer than the sample');
  });

  it('takes the tier from the groups where they are known', () => {
    const policy = policyOf(`
- {name: free, groups: [system:authenticated], limits: {requests: [{limit: 1, window: 1m}]}}
- {name: premium, level: 1, groups: [paying], limits: unlimited}`);
    const log = times(3, () => passed(0));
    expect(simulated(policy, log).total.deniedNow).toBe(2);
    expect(simulated(policy, log, () => ['paying']).total.deniedNow).toBe(0);
  });

  it('counts a team together, and the weight of a model', () => {
    const policy = policyOf(`
- name: free
  groups: [system:authenticated]
  limits:
    requests: [{limit: 100, window: 1m}]
    models: {"llm/big": {weight: 50}}
    shared: {by: "group:team-*", requests: [{limit: 4, window: 1m}]}`);
    const members = times(6, (at) => passed(0, { subject: `user${at % 2}` }));
    expect(simulated(policy, members, () => ['team-a']).total.deniedNow).toBe(2);
    expect(simulated(policy, members).notes.join()).toContain('--users');
    const big = times(3, () => passed(0, { model: 'llm/big' }));
    expect(simulated(policy, big).total.deniedNow).toBe(1);
  });

  it('refuses a log without what passed, in words', () => {
    const simulation = createSimulation({ policy: five });
    expect(simulation.result()).toContain('no decision');
    simulation.add(passed(0, { reason: 'requests_exceeded' }));
    expect(simulation.result()).toContain('log.decisions: all');
  });

  it('says what it can not tell: late lines, tiers that are gone', () => {
    const { notes, byTier } = simulated(five, [passed(100_000), passed(0, { tier: 'gold' })]);
    expect(notes.join()).toContain('1 line is out of order');
    expect(notes.join()).toContain('Tier gold');
    expect(byTier).toMatchObject([{ name: 'free', requests: 2 }]);
  });

  it('has a timeline of no more buckets than fit a screen, however long the log', () => {
    const { timeline } = simulated(
      five,
      times(1000, (at) => passed(at * 600_000)),
    );
    expect(timeline.buckets.length).toBeLessThanOrEqual(120);
    expect(timeline.buckets.reduce((sum, { requests }) => sum + requests, 0)).toBe(1000);
    expect(timeline.bucketMs * timeline.buckets.length).toBeGreaterThan(999 * 600_000);
  });
});
