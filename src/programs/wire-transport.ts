import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLimitDescriptors, type DescriptorFault } from '../check/limit-descriptors.ts';
import { createReleaseSlot } from '../check/release-slot.ts';
import { createAccessLogService } from '../envoy/access-log-service.ts';
import { createIsBelieved } from '../envoy/believed-peers.ts';
import { createRateLimitService } from '../envoy/rate-limit-service.ts';
import type { GrpcService } from '../envoy/server.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { formatListenAddress } from '../process/listen-address.ts';
import type { Log } from '../process/log.ts';
import type { TransportMetrics } from '../process/transport-metrics.ts';
import { reservationEndFrom } from '../settle/end-from-entry.ts';
import { createSettleReservation, type ObserveSettlement } from '../settle/settle-reservation.ts';
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
  /** Resolves when every access log entry that was read has been dealt with, or, after the signal, given up. */
  readonly settle: (signal: AbortSignal) => Promise<void>;
}

/** A gateway that is configured wrongly asks wrongly on every request. */
const faultsEveryMs = 60_000;

/** Counters and slots → the rate limit service and the access log sink. */
export function wireTransport(parts: TransportParts): Transport {
  const { config, policy, counters, metrics, log } = parts;
  const { address, tls, trust } = config.listeners.grpc;
  const isBelieved = createIsBelieved({
    address: formatListenAddress(address),
    isMutualTls: tls?.clientCa !== undefined,
    trust,
  });
  const stopping = new AbortController();
  const saidAtMs = new Map<DescriptorFault, number>();

  const rateLimit = createRateLimitService({
    limitDescriptors: createLimitDescriptors({ policy, ...counters, newId: randomUUID, now: Date.now }),
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

  const wait = (ms: number) => sleep(ms, undefined, { signal: stopping.signal });
  const settleReservation = createSettleReservation({
    settleTokens: counters.settleTokens,
    wait,
    observe: parts.observeSettlement,
  });
  const releaseSlot = createReleaseSlot({
    release: counters.slots.release,
    wait,
    observe: metrics.observeRelease,
  });
  const accessLog = createAccessLogService({
    async receive(entry) {
      const end = reservationEndFrom(entry);
      await Promise.all([releaseSlot(entry), end && settleReservation(end)]);
    },
    isBelieved,
    observe: metrics.observeAccessLog,
    onError: (error) => log.error('server_fault', { fault: 'access_log', error }),
  });
  metrics.trackAccessLog(accessLog);

  return {
    services: [rateLimit, accessLog],
    async settle(signal) {
      const stop = () => stopping.abort();
      signal.addEventListener('abort', stop);
      if (signal.aborted) stop();
      await accessLog.whenIdle();
      signal.removeEventListener('abort', stop);
    },
  };
}
