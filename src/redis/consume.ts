import type { Block, BlockClaim, TakeBlock } from '../check/block.ts';
import { type Answer, type ClaimCounters, countersOf, decisionFrom, type Reading } from '../check/counter.ts';
import type { Charge, Claim, Consume, Decision } from '../check/limit.ts';
import { type Reservation, type TokenCounts, unitsOf } from '../check/reservation.ts';
import { DependencyError } from '../dependency-error.ts';
import type { Secret } from '../secret.ts';
import type { RedisConnection } from './connection.ts';
import { boostKey, createKeyspace, recordKey, windowKey } from './keys.ts';
import { reserveScript, reserveStatus } from './reserve-script.ts';
import { lateReply, within } from './within.ts';

export interface RedisConsumeOptions {
  readonly connection: RedisConnection;
  /** Keys the hash of subjects; at least 16 bytes, the same for every process that shares the counters. */
  readonly keySecret: Secret;
  /** Epoch milliseconds; the clock of the claims' deadlines. */
  readonly now: () => number;
  /** The longest wait for an answer, in milliseconds, if the claim's own deadline is not earlier. Default 50. */
  readonly commandTimeoutMs?: number;
  /** How long a claim's id is known, in milliseconds. Default 15 000; at least twice Envoy's time-out. */
  readonly recordTtlMs?: number;
  /** How long a reservation waits for its settlement, in milliseconds: longer than any request. Default 600 000. */
  readonly reservationTtlMs?: number;
}

/** The part of a script call that depends on the charges alone. */
interface Call {
  readonly claim: ClaimCounters;
  readonly names: readonly string[];
  readonly windowArgs: readonly string[];
}

/**
 * Implements Consume on Redis: one script call a claim, exact for all processes that share the server.
 *
 * The deadline is passed on in the server's own time, so that a claim that was given up here is not charged
 * there when a server that hung goes on. Whether it was charged *before* the deadline, with only the reply
 * late or lost, nobody can tell: such a claim throws DependencyError (`timeout`, `unreachable`) and may be
 * charged. `overloaded`: not sent. `malformed`: a stored value was no counter; nothing was charged, and the
 * value ends by itself within a window and 2 s. `failed`, `misconfigured`: Redis refused; nothing was charged.
 */
export function createRedisConsume(options: RedisConsumeOptions): Consume {
  const ask = createAsk(options);
  return (claim) => ask(claim, ({ claimed, answer, tokens }) => decisionFrom(claimed, answer, tokens));
}

/** As createRedisConsume, for units that are spent later. */
export function createRedisTakeBlock(options: RedisConsumeOptions): TakeBlock {
  const ask = createAsk(options);
  return (claim) => ask(claim, blockFrom);
}

function createAsk(options: RedisConsumeOptions) {
  const {
    connection,
    now,
    commandTimeoutMs = 50,
    recordTtlMs = 15_000,
    reservationTtlMs = 600_000,
  } = options;
  const { tagOf } = createKeyspace(options.keySecret);
  const reserve = connection.script(reserveScript);
  const calls = new WeakMap<readonly Charge[], Call>();

  function callOf(charges: readonly Charge[]): Call {
    let call = calls.get(charges);
    if (call === undefined) {
      call = createCall(countersOf(charges));
      calls.set(charges, call);
    }
    return call;
  }

  return <D extends Decision>(
    { subject, id, charges, deadlineAtMs, aheadMs = 0, reservation }: Claim & Partial<BlockClaim>,
    decide: (told: Told) => D,
  ): Promise<D> => {
    const { claim, names, windowArgs } = callOf(charges);
    const sentAtMs = now();
    const endsAtMs = Math.min(deadlineAtMs, sentAtMs + commandTimeoutMs);
    if (endsAtMs <= sentAtMs) throw lateReply('no time left');
    const tag = reservation?.tag ?? tagOf(subject);
    const clock = connection.clockOf(tag);
    const notAfterUs = clock.serverUs(endsAtMs);
    if (notAfterUs === undefined) {
      const { fault } = connection.state();
      throw fault ?? new DependencyError('redis', 'unreachable', { detail: 'not connected yet' });
    }
    const hasRecord = id !== '' && claim.chargesAnything;
    const keys = names.map((name) => windowKey(tag, name));
    if (hasRecord) keys.unshift(recordKey(tag, id));
    keys.push(boostKey(tag));
    const ttlMs = reservation === undefined ? recordTtlMs : reservationTtlMs;
    const header = reservation === undefined ? '' : headerOf(reservation);
    const args = [String(notAfterUs), hasRecord ? String(ttlMs) : '0', header];
    args.push(...(reservation === undefined ? windowArgs : reservedArgs(claim, windowArgs, reservation)));
    if (aheadMs > 0) args.push(String(Math.floor(aheadMs * 1000)));
    const decision = reserve(keys, args).then((reply) => {
      const { serverUs, answer, aheadUs } = readReply(reply, names.length);
      clock.observe(sentAtMs, serverUs, now());
      if (answer === undefined) throw lateReply('it ran after its deadline and charged nothing');
      const goodForMs = aheadMs > 0 ? aheadUs / 1000 : 0;
      return decide({ claimed: claim, answer, goodForMs, tokens: reservation?.tokens });
    });
    return within(endsAtMs - sentAtMs, decision);
  };
}

interface Told {
  readonly claimed: ClaimCounters;
  readonly answer: Answer;
  readonly goodForMs: number;
  readonly tokens: TokenCounts | undefined;
}

/** The arguments of the windows, with so many tokens in place of one. */
function reservedArgs(
  { counters }: ClaimCounters,
  windowArgs: readonly string[],
  { tokens }: Reservation,
): readonly string[] {
  const args = [...windowArgs];
  for (const [index, { unit, units }] of counters.entries()) {
    if (unit !== 'requests') args[argsPerWindow * index + 1] = String(unitsOf(unit, units, tokens));
  }
  return args;
}

function headerOf({ weight, others }: Reservation): string {
  return [weight, ...others].join(' ');
}

function blockFrom({ claimed, answer, goodForMs }: Told): Block {
  return { ...decisionFrom(claimed, answer), goodForMs };
}

/** Length, units, limit. */
const argsPerWindow = 3;

function createCall(claim: ClaimCounters): Call {
  return {
    claim,
    names: claim.counters.map(({ name }) => name),
    windowArgs: claim.counters.flatMap(({ lengthUs, units, limit = -1, isShadow }) => [
      String(lengthUs),
      String(units),
      String(isShadow === true ? -1 - limit : limit),
    ]),
  };
}

interface Reply {
  readonly serverUs: number;
  /** undefined: it ran after its deadline, and charged nothing. */
  readonly answer: Answer | undefined;
  /** How far ahead it was charged, where that was asked for. */
  readonly aheadUs: number;
}

function readReply(reply: unknown, counters: number): Reply {
  if (!isNumbers(reply)) throw new DependencyError('redis', 'malformed', { detail: 'reply of the script' });
  const [status, serverUs = 0, retryAfterUs = 0] = reply;
  if (status === reserveStatus.malformed) {
    throw new DependencyError('redis', 'malformed', { detail: 'a stored value is no counter' });
  }
  if (status === reserveStatus.late) return { serverUs, answer: undefined, aheadUs: 0 };
  const boostAt = 3 + 2 * counters;
  if (reply.length !== boostAt && reply.length !== boostAt + 2) {
    throw new DependencyError('redis', 'malformed', { detail: 'reply of the script' });
  }
  const admitted = status !== reserveStatus.denied;
  const [percent, boostEndsAfterUs = 0] = reply.slice(boostAt);
  return {
    serverUs,
    aheadUs: status === reserveStatus.admitted ? retryAfterUs : 0,
    answer: {
      admitted,
      leftOut: status === reserveStatus.leftOut,
      readings: readings(reply, boostAt),
      retryAfterUs: admitted || retryAfterUs < 0 ? undefined : retryAfterUs,
      ...(percent !== undefined && {
        boost: { percent, endsAfterMs: Math.ceil(boostEndsAfterUs / 1000) },
      }),
    },
  };
}

function readings(reply: readonly number[], end: number): readonly Reading[] {
  const found: Reading[] = [];
  for (let at = 3; at < end; at += 2) {
    found.push({ total: reply[at] ?? 0, resetAfterUs: reply[at + 1] ?? 0 });
  }
  return found;
}

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'number');
}
