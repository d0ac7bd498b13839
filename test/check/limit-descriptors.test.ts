import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Consume } from '../../src/check/limit.ts';
import { createLimitDescriptors, type Descriptor } from '../../src/check/limit-descriptors.ts';
import { createMemoryCounters } from '../../src/check/memory-consume.ts';
import { mostUnits } from '../../src/check/reservation.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { parsePolicyFile } from '../../src/policy/parse-policy.ts';
import { createManualClock } from '../support/manual-clock.ts';

const document = `
- {name: free, groups: [all], limits: {requests: [{limit: 5, window: 2m}, {limit: 8, window: 1h}]}}
- {name: staff, groups: [staff], limits: unlimited}
- {name: team, groups: [t], limits: {requests: unlimited, shared: {by: "group:team-*", requests: [{limit: 3, window: 1m}]}}}
- {name: narrow, groups: [n], limits: {requests: [{limit: 9, window: 1m}], models: {"llm/big-*": {requests: [{limit: 2, window: 1m}], weight: 2}}}}
- {name: trial, groups: [trial], mode: shadow, limits: {requests: [{limit: 1, window: 1m}]}}
`;

function setUp(consume?: Consume) {
  const clock = createManualClock();
  const parsed = parsePolicyFile(document, {
    instance: 'maas',
    defaultLimits: 'unlimited',
    defaultTier: undefined,
  });
  if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
  const limitDescriptors = createLimitDescriptors({
    policy: () => parsed.policy,
    ...createMemoryCounters({ now: clock.now }),
    ...(consume !== undefined && { consume }),
    newId: randomUUID,
    now: clock.now,
  });
  return {
    clock,
    ask: (...descriptors: readonly Descriptor[]) =>
      limitDescriptors('tiergate', descriptors, clock.now() + 1000),
    askUntil: (deadlineAtMs: number, ...descriptors: readonly Descriptor[]) =>
      limitDescriptors('tiergate', descriptors, deadlineAtMs),
    askIn: (domain: string, ...descriptors: readonly Descriptor[]) =>
      limitDescriptors(domain, descriptors, clock.now() + 1000),
  };
}

function descriptor(entries: Readonly<Record<string, string>>, units = 1): Descriptor {
  return { entries: Object.entries(entries).map(([key, value]) => ({ key, value })), units };
}

const alice = { user: 'alice', tier: 'free' };
const bob = { user: 'bob', tier: 'free' };

describe('descriptors', () => {
  it('name a subject and a tier, and are charged to every window of it', async () => {
    const { ask } = setUp();
    for (let count = 0; count < 5; count += 1)
      expect(await ask(descriptor(alice))).toMatchObject([{ within: true }]);
    const [over] = await ask(descriptor(alice));
    expect(over).toMatchObject({ within: false, retryAfterMs: expect.any(Number) });
    expect(over).toMatchObject({ windows: [{ remaining: 0, exceeded: true }, { remaining: 3 }] });
    expect(await ask(descriptor(bob))).toMatchObject([{ within: true }]);
  });

  it('charge as many units as they ask for, and nothing when that is 0', async () => {
    const { ask } = setUp();
    expect(await ask(descriptor(alice, 4))).toMatchObject([
      { within: true, windows: [{ remaining: 1 }, {}] },
    ]);
    expect(await ask(descriptor(alice, 0))).toMatchObject([
      { within: true, windows: [{ remaining: 1 }, {}] },
    ]);
    expect(await ask(descriptor(alice, 2))).toMatchObject([{ within: false }]);
    expect(await ask(descriptor(alice, 1))).toMatchObject([
      { within: true, windows: [{ remaining: 0 }, {}] },
    ]);
  });

  it('never fit when they ask for more than the limit', async () => {
    const { ask } = setUp();
    expect(await ask(descriptor(alice, mostUnits))).toMatchObject([
      { within: false, retryAfterMs: undefined },
    ]);
    expect(await ask(descriptor(alice, 5))).toMatchObject([{ within: true }]);
  });

  it('of several counters are charged all or none', async () => {
    const { ask } = setUp();
    await ask(descriptor(bob, 5));
    expect(await ask(descriptor(alice), descriptor(bob))).toMatchObject([
      { within: true, windows: [{ remaining: 5 }, {}] },
      { within: false, windows: [{ remaining: 0, exceeded: true }, {}], retryAfterMs: 120_000 },
    ]);
    expect(await ask(descriptor(alice, 0))).toMatchObject([{ windows: [{ remaining: 5 }, {}] }]);
    expect(await ask(descriptor(alice), descriptor({ user: 'carol', tier: 'free' }))).toMatchObject([
      { within: true, windows: [{ remaining: 4 }, {}] },
      { within: true, windows: [{ remaining: 4 }, {}] },
    ]);
  });

  it('of the same counter are added up', async () => {
    const { ask } = setUp();
    const verdicts = await ask(descriptor(alice, 3), descriptor(alice, 3));
    expect(verdicts).toMatchObject([{ within: false }, { within: false }]);
    expect(await ask(descriptor(alice, 2), descriptor(alice, 3))).toMatchObject([
      { within: true, windows: [{ remaining: 0 }, {}] },
      { within: true, windows: [{ remaining: 0 }, {}] },
    ]);
  });

  it('are charged to narrower limits by model and group', async () => {
    const { ask } = setUp();
    const team = (user: string) => descriptor({ user, tier: 'team', group: 'team-a' });
    for (const user of ['a', 'b', 'c']) expect(await ask(team(user))).toMatchObject([{ within: true }]);
    expect(await ask(team('d'))).toMatchObject([{ within: false }]);
    const big = (model: string) => descriptor({ user: 'alice', tier: 'narrow', model });
    expect(await ask(big('llm/big-one'))).toMatchObject([
      { within: true, windows: [{ remaining: 7 }, { remaining: 0 }] },
    ]);
    expect(await ask(big('llm/big-two'))).toMatchObject([{ within: false }]);
    expect(await ask(big('llm/small'))).toMatchObject([{ within: true, windows: [{ remaining: 6 }] }]);
  });

  it('pass where the document says unlimited, and where it only shadows', async () => {
    const { ask } = setUp();
    const staff = descriptor({ user: 'eve', tier: 'staff' }, 1000);
    expect(await ask(staff)).toEqual([{ within: true, windows: [], retryAfterMs: undefined }]);
    const trial = descriptor({ user: 'eve', tier: 'trial' }, 1);
    expect(await ask(trial)).toMatchObject([{ within: true }]);
    expect(await ask(trial)).toMatchObject([{ within: true, windows: [{ exceeded: true }] }]);
    expect(await ask(trial, staff)).toMatchObject([{ within: true }, { within: true }]);
  });

  it.each([
    ['of a tier that there is not', { user: 'alice', tier: 'gold' }, 'tier_unknown'],
    ['without a tier', { user: 'alice' }, 'tier_missing'],
    ['without a user', { tier: 'free' }, 'user_missing'],
    ['of an empty user', { user: '', tier: 'free' }, 'user_missing'],
    ['of an unlimited tier without a user', { tier: 'staff' }, 'user_missing'],
    ['with an entry that nobody knows', { ...alice, generic_key: 'x' }, 'entry_unknown'],
    ['without entries', {}, 'user_missing'],
    ['of a tier with teams, without a group', { user: 'alice', tier: 'team' }, 'group_missing'],
    ['of a tier with limits of models, without one', { user: 'alice', tier: 'narrow' }, 'model_missing'],
  ])('%s are never within a limit', async (_what, entries, fault) => {
    const { ask } = setUp();
    expect(await ask(descriptor(entries, 0))).toEqual([{ within: false, fault }]);
    expect(await ask(descriptor(bob), descriptor(entries))).toMatchObject([
      { within: true, windows: [{ remaining: 5 }, {}] },
      { within: false, fault },
    ]);
  });

  it('that say a thing twice, or come from another domain, are never within a limit', async () => {
    const { ask, askIn } = setUp();
    const twice = descriptor(alice).entries.concat({ key: 'tier', value: 'staff' });
    expect(await ask({ entries: twice, units: 1 })).toEqual([{ within: false, fault: 'entry_repeated' }]);
    expect(await askIn('envoy', descriptor(alice))).toEqual([{ within: false, fault: 'domain_unknown' }]);
  });

  it('fail where nobody can tell, at the deadline too', async () => {
    const away = setUp(() => Promise.reject(new DependencyError('redis', 'unreachable')));
    await expect(away.ask(descriptor(alice))).rejects.toMatchObject({ code: 'unreachable' });
    const hung = setUp(() => new Promise(() => undefined));
    await expect(hung.askUntil(hung.clock.now(), descriptor(alice))).rejects.toMatchObject({
      code: 'timeout',
    });
  });
});
