import { describe, expect, it } from 'vitest';
import type { KeyedId } from '../../src/check/keyed-id.ts';
import type { Settled, TokensUsed } from '../../src/check/settlement.ts';
import { DependencyError, type DependencyFault } from '../../src/dependency-error.ts';
import {
  createSettleReservation,
  type ReservationEnd,
  type SettlementResult,
  tokensUsed,
} from '../../src/settle/settle-reservation.ts';

const reservationId = `${'t'.repeat(22)}.${'n'.repeat(22)}`;

function createWorld(faults = 0, code: DependencyFault = 'failed', answer: Settled = 'settled') {
  const asked: { readonly reservation: KeyedId; readonly used: TokensUsed }[] = [];
  const observed: SettlementResult[] = [];
  const waits: number[] = [];
  let left = faults;
  const settle = createSettleReservation({
    settleTokens(reservation, used) {
      if (left > 0) {
        left -= 1;
        throw new DependencyError('redis', code);
      }
      asked.push({ reservation, used });
      return answer;
    },
    wait: async (ms) => void waits.push(ms),
    observe: (_end: ReservationEnd, result) => void observed.push(result),
  });
  return { settle, asked, observed, waits };
}

describe('the end of a reservation', () => {
  it('settles what was used, by the id alone', async () => {
    const { settle, asked, observed } = createWorld();
    const usage = { inputTokens: 12, outputTokens: 30, totalTokens: 42 };
    expect(await settle({ reservationId, usage })).toBe('settled');
    expect(asked).toStrictEqual([
      {
        reservation: { tag: 't'.repeat(22), name: 'n'.repeat(22) },
        used: { tokens: 42, inputTokens: 12, outputTokens: 30 },
      },
    ]);
    expect(observed).toStrictEqual(['settled']);
  });

  it('keeps what was reserved where nobody tells what was used', async () => {
    const { settle, asked, observed } = createWorld();
    expect(await settle({ reservationId, usage: undefined })).toBe('kept');
    expect(await settle({ reservationId, usage: {} })).toBe('kept');
    expect(asked).toStrictEqual([]);
    expect(observed).toStrictEqual(['kept', 'kept']);
  });

  it('gives everything back of a request that no model ever got, unless usage says otherwise', async () => {
    const { settle, asked } = createWorld();
    await settle({ reservationId, usage: undefined, isUnserved: true });
    await settle({ reservationId, usage: { totalTokens: 5 }, isUnserved: true });
    expect(asked.map(({ used }) => used.tokens)).toStrictEqual([0, 5]);
  });

  it('asks nobody about what can be no id of ours', async () => {
    const { settle, asked, observed } = createWorld();
    for (const forged of ['', 'x', `${reservationId}x`, `../${reservationId}`, 'a'.repeat(100_000)]) {
      expect(await settle({ reservationId: forged, usage: { totalTokens: 5 } })).toBe('unknown');
    }
    expect(asked).toStrictEqual([]);
    expect(observed).toHaveLength(5);
  });

  it('asks again while the counters are away, for half a minute', async () => {
    const brief = createWorld(3);
    expect(await brief.settle({ reservationId, usage: { totalTokens: 5 } })).toBe('settled');
    expect(brief.waits).toStrictEqual([250, 500, 1000]);
    const long = createWorld(100);
    expect(await long.settle({ reservationId, usage: { totalTokens: 5 } })).toBe('given_up');
    expect(long.waits.reduce((sum, ms) => sum + ms)).toBeGreaterThan(30_000);
  });
});

describe('a settlement whose reply was lost', () => {
  const usage = { totalTokens: 5 };

  it('was one, though the counters know nothing of it when they are asked again', async () => {
    const { settle } = createWorld(1, 'timeout', 'unknown');
    expect(await settle({ reservationId, usage })).toBe('settled');
  });

  it('is not thought to be one where the counters had refused', async () => {
    const { settle } = createWorld(1, 'failed', 'unknown');
    expect(await settle({ reservationId, usage })).toBe('unknown');
  });
});

describe('tokens used', () => {
  it.each([
    [{ inputTokens: 3, outputTokens: 4 }, [7, 3, 4]],
    [{ inputTokens: 3, totalTokens: 10 }, [10, 3, 7]],
    [{ outputTokens: 4, totalTokens: 10 }, [10, 6, 4]],
    [{ totalTokens: 10 }, [10, undefined, undefined]],
    [{ inputTokens: 3 }, [undefined, 3, undefined]],
    [{ inputTokens: 8, totalTokens: 8 }, [8, 8, 0]],
    [{ inputTokens: 8, totalTokens: 3 }, [3, 8, 0]],
    [{ inputTokens: -1, totalTokens: 3 }, [3, undefined, undefined]],
    [{ totalTokens: 1e300, outputTokens: Number.NaN }, undefined],
    [{ totalTokens: 0.5 }, undefined],
    [{}, undefined],
  ])('%j', (usage, expected) => {
    const used = tokensUsed(usage);
    expect(used && [used.tokens, used.inputTokens, used.outputTokens]).toStrictEqual(expected);
  });
});
