import { describe, expect, it } from 'vitest';
import type { AccessLogEntry } from '../../src/check/access-log-entry.ts';
import type { MetadataScalar } from '../../src/check/check-input.ts';
import { endFromEntry } from '../../src/settle/end-from-entry.ts';
import { reservationEnd } from '../../src/settle/request-end.ts';

const entry = (
  granted: Readonly<Record<string, MetadataScalar>>,
  usage: Readonly<Record<string, MetadataScalar>> = {},
): AccessLogEntry => ({
  streamId: 's-1',
  granted: new Map(Object.entries(granted)),
  usage: new Map(Object.entries(usage)),
  responseCode: 200,
  details: 'via_upstream',
  requestBytes: 10,
  responseBytes: 200,
  durationMs: 5,
});

const granted = {
  user: 'alice',
  tier: 'free',
  model: 'llm/llama',
  reservation_id: 'T.N',
  reserved_tokens: 1100,
};

describe('the end of a reservation in an access log entry', () => {
  it('says whose it was, and what the model told', () => {
    const usage = { prompt_tokens: 10, completion_tokens: '20', total_tokens: 30 };
    expect(reservationEnd(endFromEntry(entry(granted, usage)))).toEqual({
      reservationId: 'T.N',
      usage: { inputTokens: 10, outputTokens: 20, totalTokens: 30 },
      isUnserved: false,
      responseBytes: 200,
      subject: 'alice',
      tier: 'free',
      model: 'llm/llama',
      reservedTokens: 1100,
    });
  });

  it('says nothing of usage where there is none, or nonsense', () => {
    for (const usage of [{}, { total_tokens: 'many' }, { total_tokens: true }, { total_tokens: -1 }]) {
      expect(reservationEnd(endFromEntry(entry(granted, usage)))?.usage).toBeUndefined();
    }
  });

  it('says nothing of usage where several answers were cut off, since each tells its own until the end', () => {
    const usageOf = (words: Readonly<Record<string, MetadataScalar>>, details: string) =>
      reservationEnd(endFromEntry({ ...entry(granted, { total_tokens: 30, ...words }), details }))?.usage;
    expect(usageOf({ n: 4 }, 'downstream_remote_disconnect')).toBeUndefined();
    expect(usageOf({ best_of: '4' }, 'downstream_remote_disconnect')).toBeUndefined();
    expect(usageOf({ n: 4 }, 'via_upstream')).toEqual({ totalTokens: 30 });
    expect(usageOf({ n: 1 }, 'downstream_remote_disconnect')).toEqual({ totalTokens: 30 });
  });

  it('is served where Envoy could not hold the answer', () => {
    const failed = { ...entry(granted), responseCode: 500 };
    expect(reservationEnd(endFromEntry(failed))?.isUnserved).toBe(true);
    const details = 'response_payload_too_large';
    expect(reservationEnd(endFromEntry({ ...failed, details }))?.isUnserved).toBe(false);
  });

  it('is none for a request that had no reservation', () => {
    expect(reservationEnd(endFromEntry(entry({ user: 'alice' }, { total_tokens: 30 })))).toBeUndefined();
    expect(reservationEnd(endFromEntry(entry({ reservation_id: 5 }, { total_tokens: 30 })))).toBeUndefined();
  });
});
