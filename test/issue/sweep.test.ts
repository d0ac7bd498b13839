import { describe, expect, it } from 'vitest';

import type { Account } from '../../src/issue/account.ts';
import { createSweep } from '../../src/issue/sweep.ts';
import { startSweeper } from '../../src/issue/sweeper.ts';
import { halfMadeAfterMs, type TokenRecord } from '../../src/issue/token-record.ts';
import { createManualClock } from '../support/manual-clock.ts';

const clock = createManualClock();

function account(namespace: string, user: string | undefined): Account {
  return {
    namespace,
    name: user ?? 'someone',
    uid: `uid-of-${user ?? 'someone'}-in-${namespace}`,
    user,
    groups: [],
  };
}

function record(owner: Account, id: string, more: Partial<TokenRecord> = {}): TokenRecord {
  return {
    id,
    namespace: owner.namespace,
    uid: `uid-of-${id}`,
    accountUid: owner.uid,
    user: owner.user ?? '',
    jti: 'j',
    createdAtMs: clock.now() - 60_000,
    expiresAtMs: clock.now() + 60_000,
    ...more,
  };
}

/** One pass over these objects. */
async function sweep(accounts: readonly Account[], records: readonly TokenRecord[]) {
  const deleted: string[] = [];
  const swept = await createSweep({
    listTierNamespaces: async () => ['free', 'premium'],
    listAccounts: async (namespace) => accounts.filter((one) => one.namespace === namespace),
    listTokenRecords: async (namespace) => records.filter((one) => one.namespace === namespace),
    deleteAccount: async ({ uid }) => void deleted.push(uid),
    deleteTokenRecord: async ({ id }) => deleted.push(id) > 0,
    now: clock.now,
  })();
  return { swept, deleted };
}

describe('the sweep', () => {
  const alice = account('free', 'alice');

  it('removes records whose token has ended, and no others', async () => {
    const records = [record(alice, 'ended', { expiresAtMs: clock.now() }), record(alice, 'alive')];
    expect(await sweep([alice], records)).toEqual({
      swept: { records: 1, ownerless: 0, accounts: 0 },
      deleted: ['ended'],
    });
  });

  it('removes what was half-made once it is too old to be at work', async () => {
    const { jti: _jti, ...halfMade } = record(alice, 'old', { createdAtMs: clock.now() - halfMadeAfterMs });
    const young = { ...halfMade, id: 'young', createdAtMs: clock.now() - halfMadeAfterMs + 1 };
    expect((await sweep([alice], [halfMade, young])).deleted).toEqual(['old']);
  });

  it('removes records whose account is gone', async () => {
    expect(await sweep([], [record(alice, 'ownerless')])).toEqual({
      swept: { records: 0, ownerless: 1, accounts: 0 },
      deleted: ['ownerless'],
    });
  });

  it('ends the account of the tier that its user has left', async () => {
    const inPremium = account('premium', 'alice');
    const older = record(alice, 'older', { createdAtMs: clock.now() - 3_000 });
    const newer = record(inPremium, 'newer', { createdAtMs: clock.now() - 1_000 });
    expect((await sweep([alice, inPremium], [older, newer])).deleted).toEqual([alice.uid]);
    expect((await sweep([inPremium, alice], [newer, older])).deleted).toEqual([alice.uid]);
  });

  it('leaves alone an account without tokens, and one that MaaS has made', async () => {
    const idle = account('premium', 'alice');
    const foreign = account('premium', undefined);
    const records = [record(alice, 'alive'), record(foreign, 'another')];
    expect((await sweep([alice, idle, foreign], records)).deleted).toEqual([]);
  });
});

describe('the sweeper', () => {
  it('sweeps only as long as it leads, and goes on after a failure', async () => {
    const happened: string[] = [];
    const leads = [true, false, true, true];
    await new Promise<void>((resolve) => {
      let passes = 0;
      const sweeper = startSweeper({
        holdLease: async () => {
          const isLeader = leads.shift();
          if (isLeader === undefined) {
            void sweeper.stop();
            resolve();
            throw new Error('stopped');
          }
          return isLeader;
        },
        sweep: async () => {
          passes += 1;
          if (passes === 2) throw new Error('away');
          return { records: passes, ownerless: 0, accounts: 0 };
        },
        intervalMs: 1,
        reportSwept: ({ records }) => void happened.push(`swept ${records}`),
        reportFault: (error) => void happened.push(String(error)),
      });
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(happened).toEqual(['swept 1', 'Error: away', 'swept 3', 'Error: stopped']);
  });

  it('waits for the pass at work when it is stopped', async () => {
    let isSwept = false;
    const sweeper = startSweeper({
      holdLease: async () => true,
      sweep: async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        isSwept = true;
        return { records: 0, ownerless: 0, accounts: 0 };
      },
      intervalMs: 1,
      reportSwept: () => undefined,
      reportFault: () => undefined,
    });
    await sweeper.stop();
    expect(isSwept).toBe(true);
  });
});
