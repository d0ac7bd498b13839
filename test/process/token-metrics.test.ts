import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { Allowed } from '../../src/check/outcome.ts';
import { createLog } from '../../src/process/log.ts';
import { createTokenMetrics } from '../../src/process/token-metrics.ts';
import { createUsageLog } from '../../src/process/usage-log.ts';

const end = {
  reservationId: 'T.N',
  usage: { inputTokens: 10, totalTokens: 30 },
  subject: 'alice',
  tier: 'free',
  model: 'llm/llama',
  reservedTokens: 1100,
};
const used = { tokens: 30, inputTokens: 10, outputTokens: 20 };
const unused = { tokens: 0, inputTokens: 0, outputTokens: 0 };

describe('metrics of tokens', () => {
  const start = (byUser: boolean) => {
    const registry = new Registry();
    return { ...createTokenMetrics({ registry, byUser }), text: () => registry.metrics() };
  };

  it('count what was used by kind, tier and model, and by user only where that is wanted', async () => {
    const [plain, byUser] = [start(false), start(true)];
    for (const { observeSettlement } of [plain, byUser]) observeSettlement(end, 'settled', used);
    const text = await plain.text();
    expect(text).toContain('tiergate_tokens_used_total{tier="free",model="llm/llama",kind="output"} 20');
    expect(text).not.toContain('alice');
    expect(await byUser.text()).toContain(
      'tiergate_tokens_used_total{tier="free",model="llm/llama",user="alice",kind="total"} 30',
    );
  });

  it('count ends by what came of them, and what stays charged without anybody telling', async () => {
    const { observeSettlement, text } = start(false);
    observeSettlement(end, 'kept', undefined);
    observeSettlement(end, 'given_up', used);
    observeSettlement(end, 'unknown', used);
    observeSettlement({ reservationId: 'x', usage: undefined }, 'unknown', undefined);
    expect(await text()).toContain('tiergate_reservations_total{result="unknown"} 2');
    expect(await text()).toContain('tiergate_reservations_total{result="settled"} 0');
    expect(await text()).toContain('tiergate_tokens_kept_total{tier="free",model="llm/llama"} 2200');
    expect(await text()).not.toContain('tiergate_tokens_used_total{');
  });

  it('count what requests were charged in advance', async () => {
    const { observeReserved, text } = start(false);
    const allowed: Allowed = {
      denied: false,
      kind: 'model',
      tier: 'free',
      model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
      windows: [],
    };
    observeReserved(allowed);
    observeReserved({ ...allowed, reservation: { id: 'T.N', tokens: 1100 } });
    observeReserved({ denied: true, reason: 'tokens_exceeded', detail: 'No.' });
    expect(await text()).toContain('tiergate_tokens_reserved_total{tier="free",model="llm/llama"} 1100');
  });
});

describe('the usage record', () => {
  const linesOf = (...settlements: Parameters<ReturnType<typeof createUsageLog>>[]) => {
    const lines: string[] = [];
    const log = createLog({ level: 'error', write: (line) => void lines.push(line), now: () => 0 });
    const logUsage = createUsageLog(log);
    for (const settlement of settlements) logUsage(...settlement);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  };

  it('says who used how much of what', () => {
    const [line] = linesOf([{ ...end, responseBytes: 610 }, 'settled', used]);
    expect(line).toMatchObject({
      settlement: 'settled',
      subject: 'alice',
      tier: 'free',
      model: 'llm/llama',
      reservation: 'T.N',
      reservedTokens: 1100,
      inputTokens: 10,
      outputTokens: 20,
      totalTokens: 30,
      responseBytes: 610,
    });
  });

  it('says what stays charged where nobody told, and nothing of an end that changed nothing', () => {
    const lines = linesOf([end, 'kept', undefined], [end, 'given_up', used], [end, 'unknown', used]);
    expect(lines.map(({ settlement, totalTokens }) => [settlement, totalTokens])).toEqual([
      ['kept', 1100],
      ['given_up', 1100],
    ]);
    expect(lines[0]).not.toHaveProperty('inputTokens');
    expect(linesOf([end, 'settled', unused])[0]).toMatchObject({ totalTokens: 0 });
  });
});
