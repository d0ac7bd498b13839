import { type sendUnaryData, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { denialAnswer } from '../check/answer.ts';
import type { WindowState } from '../check/limit.ts';
import {
  type Descriptor,
  type DescriptorFault,
  type DescriptorVerdict,
  type LimitDescriptors,
  ourDomain,
} from '../check/limit-descriptors.ts';
import { type Denied, denied } from '../check/outcome.ts';
import { bindingWindow, windowName } from '../check/rate-limit-headers.ts';
import { mostUnits } from '../check/reservation.ts';
import { isDependencyError } from '../dependency-error.ts';
import type { RequestEnd } from '../settle/request-end.ts';
import {
  endFromDescriptors,
  isSettlement,
  type SettlementDescriptor,
  type SettlementFault,
} from '../settle/settlement-descriptors.ts';
import type { IsBelieved } from './believed-peers.ts';
import { loadService } from './load-service.ts';
import type { GrpcService } from './server.ts';

/**
 * How a call ended. `refused`: over limit, because a descriptor names no limit of ours. `invalid`: no domain or no
 * descriptors. `foreign`: not from a peer that is believed. `unavailable`: nobody could tell. `failed`: a bug. `settlement`: about the
 * end of a request that has a reservation.
 */
export type RateLimitResult =
  | 'ok'
  | 'over_limit'
  | 'refused'
  | 'invalid'
  | 'foreign'
  | 'unavailable'
  | 'failed'
  | 'settlement';

export interface RateLimitServiceOptions {
  readonly limitDescriptors: LimitDescriptors;
  /** Told of the ends of requests (`apply_on_stream_done`); nobody waits for what comes of it. Must not throw. */
  readonly settle: (end: RequestEnd) => void;
  readonly isBelieved: IsBelieved;
  /** The longest a call may take, in milliseconds, if its own deadline is not earlier. */
  readonly deadlineMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly observe: (result: RateLimitResult, seconds: number) => void;
  /** Told of descriptors that name no limit: a mistake in a gateway's configuration. Must not throw. */
  readonly onFault: (fault: DescriptorFault | SettlementFault) => void;
  /** Told of bugs. Must not throw. */
  readonly onError: (error: unknown) => void;
}

interface RateLimitRequest {
  readonly domain: string;
  readonly hits_addend: number;
  readonly descriptors: readonly {
    readonly entries: Descriptor['entries'];
    readonly hits_addend: { readonly value: number } | null;
    readonly is_negative_hits: boolean;
  }[];
}

type Call = ServerUnaryCall<RateLimitRequest, object>;

/** Kept back of the time that a caller gives, for the way back: Envoy's filter gives 20 ms unless told otherwise. */
const leastMarginMs = 5;
const marginShare = 0.1;

/** More than any route has; each costs a claim. */
const maxDescriptors = 64;

/** `envoy.service.ratelimit.v3.RateLimitService`, for gateways that speak it: docs/rate-limit-service.md. */
export function createRateLimitService(options: RateLimitServiceOptions): GrpcService {
  const { limitDescriptors, settle, isBelieved, deadlineMs, now, observe, onFault, onError } = options;

  function answerSettlement({ domain, descriptors }: RateLimitRequest) {
    const end = domain === ourDomain ? endFromDescriptors(descriptors.map(readSettlement)) : 'domain_unknown';
    const isRefused = typeof end === 'string';
    if (isRefused) onFault(end);
    else settle(end);
    const code = isRefused ? 'OVER_LIMIT' : 'OK';
    const result: RateLimitResult = isRefused ? 'refused' : 'settlement';
    return { result, response: { overall_code: code, statuses: descriptors.map(() => ({ code })) } };
  }

  async function answer(
    call: Call,
  ): Promise<{ readonly result: RateLimitResult; readonly response: object }> {
    const { domain, descriptors } = call.request;
    const nowMs = now();
    const givenMs = deadlineOf(call) - nowMs;
    const usedMs = givenMs - Math.max(leastMarginMs, givenMs * marginShare);
    const deadlineAtMs = nowMs + Math.min(deadlineMs, givenMs === Infinity ? deadlineMs : usedMs);
    const verdicts = await limitDescriptors(
      domain,
      descriptors.map(readDescriptor(call.request)),
      deadlineAtMs,
    );
    for (const verdict of verdicts) if ('fault' in verdict) onFault(verdict.fault);
    const over = verdicts.filter(({ within }) => !within);
    const isRefused = over.some((verdict) => 'fault' in verdict);
    return {
      result: over.length === 0 ? 'ok' : isRefused ? 'refused' : 'over_limit',
      response: {
        overall_code: over.length === 0 ? 'OK' : 'OVER_LIMIT',
        statuses: verdicts.map(descriptorStatus),
        ...(over.length > 0 && clientAnswer(over)),
      },
    };
  }

  async function shouldRateLimit(call: Call, callback: sendUnaryData<object>): Promise<void> {
    const startedAtMs = performance.now();
    const done = (result: RateLimitResult) => observe(result, (performance.now() - startedAtMs) / 1000);
    const fail = (result: RateLimitResult, code: status, details: string): void => {
      callback({ code, details });
      done(result);
    };
    if (!isBelieved(call)) {
      fail('foreign', status.PERMISSION_DENIED, 'this address may not charge others');
      return;
    }
    const wrong = faultOf(call.request);
    if (wrong !== undefined) {
      fail('invalid', status.INVALID_ARGUMENT, wrong);
      return;
    }
    try {
      const { result, response } = isSettlement(call.request.descriptors)
        ? answerSettlement(call.request)
        : await answer(call);
      callback(null, response);
      done(result);
    } catch (error) {
      if (isDependencyError(error)) {
        fail('unavailable', status.UNAVAILABLE, 'limits can not be checked right now');
      } else {
        fail('failed', status.INTERNAL, 'internal error');
        onError(error);
      }
    }
  }

  return {
    definition: loadService(
      'envoy/service/ratelimit/v3/rls.proto',
      'envoy.service.ratelimit.v3.RateLimitService',
    ),
    implementation: {
      ShouldRateLimit: (call: Call, callback: sendUnaryData<object>) => void shouldRateLimit(call, callback),
    },
  };
}

function faultOf({ domain, descriptors }: RateLimitRequest): string | undefined {
  if (domain === '') return 'the domain is empty';
  if (descriptors.length === 0) return 'there are no descriptors';
  if (descriptors.length > maxDescriptors) return `there are more than ${maxDescriptors} descriptors`;
  return undefined;
}

/**
 * A descriptor's own number beats the request's, and 0 of its own looks only; the request's 0 can not be told from
 * unset, which means 1. What asks for units to be given back looks only: a refund alone is never honoured.
 */
function readDescriptor(request: RateLimitRequest) {
  return ({
    entries,
    hits_addend,
    is_negative_hits,
  }: RateLimitRequest['descriptors'][number]): Descriptor => ({
    entries,
    units: is_negative_hits ? 0 : Math.min(hits_addend?.value ?? Math.max(1, request.hits_addend), mostUnits),
  });
}

function readSettlement({
  entries,
  hits_addend,
  is_negative_hits,
}: RateLimitRequest['descriptors'][number]): SettlementDescriptor {
  return { entries, units: hits_addend?.value, isRefund: is_negative_hits };
}

function deadlineOf(call: Call): number {
  const deadline = call.getDeadline();
  return typeof deadline === 'number' ? deadline : deadline.getTime();
}

const maxUint32 = 0xffff_ffff;

const unitByMs: Readonly<Record<number, string>> = {
  1000: 'SECOND',
  60_000: 'MINUTE',
  3_600_000: 'HOUR',
  86_400_000: 'DAY',
};

/** Of several windows, the one that the client runs into first; shadow ones are not told. */
function descriptorStatus(verdict: DescriptorVerdict): object {
  const code = verdict.within ? 'OK' : 'OVER_LIMIT';
  if ('fault' in verdict) return { code };
  const enforced = verdict.windows.filter(({ window }) => window.mode === 'enforce');
  const full = enforced.filter(({ exceeded }) => exceeded);
  const binding = bindingWindow(full.length > 0 ? full : enforced);
  return binding === undefined ? { code } : { code, ...statusOf(binding) };
}

function statusOf({ window, remaining, resetAfterMs }: WindowState): object {
  return {
    current_limit: {
      name: windowName(window),
      requests_per_unit: Math.min(window.limit, maxUint32),
      unit: unitByMs[window.windowMs] ?? 'UNKNOWN',
    },
    limit_remaining: Math.min(remaining, maxUint32),
    duration_until_reset: {
      seconds: Math.floor(resetAfterMs / 1000),
      nanos: Math.round((resetAfterMs % 1000) * 1_000_000),
    },
  };
}

/** What Envoy hands to the client in place of its own empty body, and when to come again. */
function clientAnswer(over: readonly DescriptorVerdict[]): object {
  const { headers, body } = denialAnswer(denialOf(over), '');
  return {
    response_headers_to_add: headers.map(([key, value]) => ({ key, value })),
    raw_body: Buffer.from(body),
  };
}

function denialOf(over: readonly DescriptorVerdict[]): Denied {
  let retryAfterMs: number | undefined = 0;
  for (const verdict of over) {
    if ('fault' in verdict) {
      return denied('limit_unavailable', 'Your limits can not be checked right now.', { retryAfterMs: 1000 });
    }
    if (verdict.retryAfterMs === undefined || retryAfterMs === undefined) retryAfterMs = undefined;
    else retryAfterMs = Math.max(retryAfterMs, verdict.retryAfterMs);
  }
  return denied('requests_exceeded', 'The limit of your tier is used up for now.', {
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
