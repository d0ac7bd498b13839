import { describe, expect, it } from 'vitest';
import type { AccessLogEntry } from '../../src/check/access-log-entry.ts';
import type { MetadataScalar } from '../../src/check/check-input.ts';
import { isUnserved, reservationEndFrom } from '../../src/settle/end-from-entry.ts';

const entry = (
  granted: Readonly<Record<string, MetadataScalar>>,
  usage: Readonly<Record<string, MetadataScalar>> = {},
  details = 'via_upstream',
): AccessLogEntry => ({
  streamId: 's-1',
  granted: new Map(Object.entries(granted)),
  usage: new Map(Object.entries(usage)),
  responseCode: 200,
  details,
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
    expect(reservationEndFrom(entry(granted, usage))).toEqual({
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
      expect(reservationEndFrom(entry(granted, usage))?.usage).toBeUndefined();
    }
  });

  it('is none for a request that had no reservation', () => {
    expect(reservationEndFrom(entry({ user: 'alice' }, { total_tokens: 30 }))).toBeUndefined();
    expect(reservationEndFrom(entry({ reservation_id: 5 }, { total_tokens: 30 }))).toBeUndefined();
  });
});

describe("Envoy's word that no model got the request", () => {
  it.each([
    'no_healthy_upstream',
    'cluster_not_found',
    'route_not_found',
    'direct_response',
    'request_rate_limited',
    'rbac_access_denied_matched_policy[none]',
    'upstream_reset_before_response_started{connection_failure}',
    'upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}',
    'upstream_reset_before_response_started{overflow}',
  ])('is %s', (details) => expect(isUnserved(details)).toBe(true));

  it.each([
    '',
    'via_upstream',
    'response_timeout',
    'downstream_remote_disconnect',
    'upstream_reset_before_response_started{connection_termination}',
    'upstream_reset_before_response_started{remote_reset}',
    'upstream_reset_after_response_started{connection_failure}',
    'stream_idle_timeout',
  ])('is not %s', (details) => expect(isUnserved(details)).toBe(false));
});
