import { randomUUID } from 'node:crypto';
import type { ClientWritableStream } from '@grpc/grpc-js';
import { createClaimParts } from '../../src/check/claim-parts.ts';
import { createAccessLogService } from '../../src/envoy/access-log-service.ts';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import { createKeyspace } from '../../src/redis/keys.ts';
import { createRedisSettlements } from '../../src/redis/settle.ts';
import { createSecret } from '../../src/secret.ts';
import { endFromEntry } from '../../src/settle/end-from-entry.ts';
import { reservationEnd } from '../../src/settle/request-end.ts';
import { createSettleReservation, type SettlementResult } from '../../src/settle/settle-reservation.ts';
import { atEnd, serve } from '../envoy/serve.ts';
import { createServiceClient } from '../envoy/service-client.ts';
import type { RedisServer } from '../real/redis.ts';

const method = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';

/** A great limit, of which every token that was charged can be told. */
export const budget = 1_000_000_000;

/** Requests of one subject that reserve tokens on a Redis. */
export async function createReserving({ url }: RedisServer) {
  const { counters, left } = await connect(url);
  const claimParts = createClaimParts({ ...counters, newId: randomUUID });
  return {
    left,
    /** Reserves, and resolves to the id. */
    reserve: async (subject: string, tokens: number): Promise<string> => {
      const { reservation } = await claimParts({
        parts: [{ bearer: 'own', subject, charges: [{ window, cost: 1 }], weight: 1, countsTokens: true }],
        id: randomUUID(),
        tokens: { tokens, inputTokens: 0, outputTokens: tokens },
        deadlineAtMs: Date.now() + 2000,
        onStoreUnavailable: undefined,
      });
      if (reservation === undefined) throw new Error('the budget is used up');
      return reservation.id;
    },
  };
}

const window = { scope: '*', unit: 'tokens', windowMs: 3_600_000, limit: budget, mode: 'enforce' } as const;

async function connect(url: string) {
  const connection = createRedisConnection({ target: { kind: 'single', url }, now: Date.now });
  atEnd(() => connection.close());
  await connection.waitUntilReady(5000);
  const keySecret = createSecret('a key of the counters');
  const options = { connection, keySecret, now: Date.now, commandTimeoutMs: 2000 };
  const counters = {
    consume: createRedisConsume(options),
    ...createRedisSettlements(options),
    reservationNames: createKeyspace(keySecret),
  };
  return {
    counters,
    left: async (subject: string): Promise<number | undefined> => {
      const charges = [{ window, cost: 0 }];
      const looked = await counters.consume({ subject, id: '', charges, deadlineAtMs: Date.now() + 2000 });
      return looked.windows[0]?.remaining;
    },
  };
}

export interface SinkOptions {
  readonly maxQueued?: number;
}

/** An authorizer's sink for the access log, as far as settlements go: a gRPC server and a connection of its own. */
export async function startSink({ url }: RedisServer, options: SinkOptions = {}) {
  const { counters } = await connect(url);
  const results: Record<SettlementResult, number> = { settled: 0, kept: 0, unknown: 0, given_up: 0 };
  const events = new Map<string, number>();
  const settle = createSettleReservation({
    settleTokens: counters.settleTokens,
    wait: (ms) => new Promise((resolve) => void setTimeout(resolve, ms)),
    observe: (_end, result) => void (results[result] += 1),
  });
  const service = createAccessLogService({
    async receive(entry) {
      const end = reservationEnd(endFromEntry(entry));
      if (end !== undefined) await settle(end);
    },
    isBelieved: () => true,
    observe: (event) => void events.set(event, (events.get(event) ?? 0) + 1),
    onError: (error) => void events.set(String(error), 1),
    ...options,
  });
  const { address } = await serve({ services: [service] });
  const stub = createServiceClient(service.definition, address);
  const definition = service.definition['StreamAccessLogs'];
  return {
    results,
    count: (event: string) => events.get(event) ?? 0,
    queued: service.queued,
    whenIdle: service.whenIdle,
    /** A stream of one of Envoy's workers. */
    openLog(): ClientWritableStream<object> {
      const stream = stub.makeClientStreamRequest<object, object>(
        method,
        (message) => definition?.requestSerialize(message) as Buffer,
        () => ({}),
        () => undefined,
      );
      stream.on('error', () => undefined);
      return stream;
    },
  };
}

/** A message of Envoy's access log: the ends of requests, each with what it used; undefined: nobody told. */
export function endsOf(ids: readonly string[], tokens: number | undefined): object {
  return {
    http_logs: {
      log_entry: ids.map((id) => ({
        common_properties: {
          stream_id: id,
          access_log_type: 'DownstreamEnd',
          metadata: {
            filter_metadata: {
              'envoy.filters.http.ext_authz': {
                fields: { reservation_id: { stringValue: id }, user: { stringValue: 'alice' } },
              },
              ...(tokens !== undefined && {
                tiergate: {
                  fields: { prompt_tokens: { numberValue: 0 }, completion_tokens: { numberValue: tokens } },
                },
              }),
            },
          },
        },
      })),
    },
  };
}
