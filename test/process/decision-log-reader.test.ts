import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/check/outcome.ts';
import type { LoggedDecision } from '../../src/check/simulate.ts';
import { createDecisionLog } from '../../src/process/decision-log.ts';
import { readDecisionLog } from '../../src/process/decision-log-reader.ts';
import { createLog } from '../../src/process/log.ts';

async function* chunksOf(text: string, bytes: number): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(text);
  for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes);
}

async function read(text: string, bytes = 7) {
  const decisions: LoggedDecision[] = [];
  const reading = await readDecisionLog(chunksOf(text, bytes), (decision) => decisions.push(decision));
  return { reading, decisions };
}

const allowed: Outcome = {
  denied: false,
  kind: 'model',
  subject: 'zoë',
  tier: 'free',
  model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
  windows: [],
};

describe('a decision log', () => {
  it('is read as it was written, wherever its bytes are cut', async () => {
    let text = '';
    const log = createLog({ level: 'info', write: (line) => void (text += line), now: () => 1_000_000 });
    const write = createDecisionLog({ mode: { sample: 10 }, log, random: () => 0 });
    write(allowed, { id: 'r1', method: 'POST' }, 1);
    write(
      { denied: true, reason: 'requests_exceeded', detail: '', subject: 'zoë' },
      { id: 'r2', method: 'POST' },
      1,
    );
    log.info('started', {});
    for (const bytes of [1, 3, 10_000]) {
      const { decisions, reading } = await read(text, bytes);
      expect(decisions).toEqual([
        { atMs: 1_000_000, weight: 10, subject: 'zoë', tier: 'free', model: 'llm/llama' },
        { atMs: 1_000_000, weight: 1, reason: 'requests_exceeded', subject: 'zoë' },
      ]);
      expect(reading).toMatchObject({ lines: 3, decisions: 2, others: 1, unreadable: 0 });
    }
  });

  it('may hold garbage, which is counted and named', async () => {
    const good = '{"time":"2026-11-22T10:00:00.000Z","event":"decision","decision":"allowed"}';
    const { decisions, reading } = await read(
      [
        'Defaulted container',
        good,
        '',
        '{"event":"decision","decision":"allowed"}',
        '{"time":"2026-11-22T10:00:00.000Z","event":"decision","decision":"denied"}',
        '{"time":"2026-11-22T10:00:00.000Z","event":"decision","decision":"allowed","sample":0}',
        '[]',
        good.slice(0, 40),
      ].join('\n'),
    );
    expect(decisions).toHaveLength(1);
    expect(reading).toEqual({
      lines: 8,
      decisions: 1,
      others: 0,
      unreadable: 6,
      firstUnreadable: [1, 4, 5, 6, 7],
    });
  });
});
