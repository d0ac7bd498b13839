import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLimitDescriptors, type DescriptorFault } from '../check/limit-descriptors.ts';
import { createReleaseSlot } from '../check/release-slot.ts';
import { createAccessLogService } from '../envoy/access-log-service.ts';
import { createIsBelieved } from '../envoy/believed-peers.ts';
import { createEntryQueue } from '../envoy/entry-queue.ts';
import { createExternalProcessor } from '../envoy/external-processor.ts';
import { createRateLimitService } from '../envoy/rate-limit-service.ts';
import type { GrpcService } from '../envoy/server.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { formatListenAddress } from '../process/listen-address.ts';
import type { Log } from '../process/log.ts';
import type { TransportMetrics } from '../process/transport-metrics.ts';
import { endFromEntry } from '../settle/end-from-entry.ts';
import { type RequestEnd, reservationEnd } from '../settle/request-end.ts';
import { createSettleReservation, type ObserveSettlement } from '../settle/settle-reservation.ts';
import type { SettlementFault } from '../settle/settlement-descriptors.ts';
import type { Counters } from './connect-counters.ts';

export interface TransportParts {
  readonly config: Config;
  readonly policy: () => Policy;
  readonly counters: Counters;
  readonly metrics: TransportMetrics;
  readonly observeSettlement: ObserveSettlement;
  readonly log: Log;
}

export interface Transport {
  /** What the gRPC port serves beside Check and health. */
  readonly services: readonly GrpcService[];
  /** Resolves when every end of a request that was told has been dealt with, or, after the signal, given up. */
  readonly settle: (signal: AbortSignal) => Promise<void>;
}

/** A gateway that is configured wrongly asks wrongly on every request. */
const faultsEveryMs = 60_000;

/** A few seconds of a busy gateway. Beyond it ends are lost, and what they had reserved stays charged. */
const maxQueuedEnds = 10_000;
const maxEndsAtOnce = 256;

/** Counters and slots → the rate limit service, the access log sink and the external processor. */
export function wireTransport(parts: TransportParts): Transport {
  const { config, policy, counters, metrics, log } = parts;
  const { address, tls, trust } = config.listeners.grpc;
  const isBelieved = createIsBelieved({
    address: formatListenAddress(address),
    isMutualTls: tls?.clientCa !== undefined,
    trust,
  });
  const stopping = new AbortController();
  const saidAtMs = new Map<DescriptorFault | SettlementFault, number>();

  const wait = (ms: number) => sleep(ms, undefined, { signal: stopping.signal });
  const settleReservation = createSettleReservation({
    settleTokens: counters.settleTokens,
    wait,
    observe: parts.observeSettlement,
  });
  async function settleEnd(told: RequestEnd): Promise<void> {
    const end = reservationEnd(told);
    if (end !== undefined) await settleReservation(end);
  }
  // Whoever tells of an end by a call waits for nothing, so that what is still to be done waits here.
  const ends = createEntryQueue<RequestEnd>({
    receive: settleEnd,
    maxQueued: maxQueuedEnds,
    concurrency: maxEndsAtOnce,
    onDropped: metrics.settlementDropped,
    onError: (error) => log.error('server_fault', { fault: 'settlement', error }),
  });

  const rateLimit = createRateLimitService({
    limitDescriptors: createLimitDescriptors({ policy, ...counters, newId: randomUUID, now: Date.now }),
    settle: ends.offer,
    isBelieved,
    deadlineMs: config.check.deadlineMs,
    now: Date.now,
    observe: metrics.observeRateLimit,
    onFault(fault) {
      metrics.rateLimitFault(fault);
      const nowMs = performance.now();
      if (nowMs - (saidAtMs.get(fault) ?? Number.NEGATIVE_INFINITY) < faultsEveryMs) return;
      saidAtMs.set(fault, nowMs);
      log.warn('rate_limit_fault', { fault });
    },
    onError: (error) => log.error('server_fault', { fault: 'rate_limit', error }),
  });

  const releaseSlot = createReleaseSlot({
    release: counters.slots.release,
    wait,
    observe: metrics.observeRelease,
  });
  const accessLog = createAccessLogService({
    async receive(entry) {
      await Promise.all([releaseSlot(entry), settleEnd(endFromEntry(entry))]);
    },
    isBelieved,
    observe: metrics.observeAccessLog,
    onError: (error) => log.error('server_fault', { fault: 'access_log', error }),
  });
  metrics.trackAccessLog(accessLog);

  const externalProcessor = createExternalProcessor({
    receive: ends.offer,
    isBelieved,
    observe: metrics.observeExternalProcessor,
  });
  metrics.trackSettlements({ ...externalProcessor, queued: ends.size });

  return {
    services: [rateLimit, accessLog, externalProcessor],
    async settle(signal) {
      const stop = () => stopping.abort();
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
      await Promise.all([accessLog.whenIdle(), ends.whenIdle()]);
      signal.removeEventListener('abort', stop);
    },
  };
}
