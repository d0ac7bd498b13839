import { parseDuration } from '../duration.ts';
import type { Policy } from '../policy/policy.ts';
import type { LoggedDecision } from './simulate.ts';

/** Requests that somebody imagines: so many users of a tier, each at such a rate, for so long. */
export interface Load {
  readonly tier: string;
  readonly users: number;
  /** Of each user, in requests a millisecond. */
  readonly ratePerMs: number;
  readonly durationMs: number;
  /** `namespace/name` */
  readonly model: string;
}

const form = 'tier=free users=200 rate=3/1m for=1h model=llm/llama';

/** `tier=free users=200 rate=3/1m for=1h model=llm/llama` → a load. Throws RangeError with words for the operator. */
export function parseLoad(text: string): Load {
  const words = text.trim().split(/\s+/);
  const values = new Map(
    words.map((word) => [word.split('=', 1)[0] ?? '', word.slice(word.indexOf('=') + 1)]),
  );
  const unknown = [...values.keys()].find((key) => !['tier', 'users', 'rate', 'for', 'model'].includes(key));
  if (unknown !== undefined) throw new RangeError(`${unknown} is not known: a load is ${form}`);
  const value = (key: string, otherwise?: string): string => {
    const found = values.get(key) ?? otherwise;
    if (found === undefined || found === '') throw new RangeError(`${key} is missing: a load is ${form}`);
    return found;
  };
  const users = Number(value('users', '1'));
  if (!Number.isInteger(users) || users < 1)
    throw new RangeError('users must be a whole number of at least 1');
  const [, count, window] = /^(\d+(?:\.\d+)?)\/(.+)$/.exec(value('rate')) ?? [];
  if (count === undefined || window === undefined || Number(count) <= 0) {
    throw new RangeError('rate must be requests in a time, such as 3/1m');
  }
  return {
    tier: value('tier'),
    users,
    ratePerMs: Number(count) / parseDuration(window),
    durationMs: parseDuration(value('for', '1h')),
    model: value('model', 'llm/any'),
  };
}

/** In words, that a load is of a tier which the document does not have. */
export function strangeTier(loads: readonly Load[], { tiers }: Pick<Policy, 'tiers'>): string | undefined {
  const names = tiers.map(({ name }) => name);
  const strange = loads.find(({ tier }) => !names.includes(tier));
  if (strange === undefined) return undefined;
  return `${strange.tier} is no tier of the document, which has ${names.join(', ')}`;
}

/**
 * The requests of all loads, in the order of their times: independent arrivals at a constant rate (a Poisson process), by
 * users who are drawn at random. The same seed gives the same requests.
 */
export function* loadDecisions(
  loads: readonly Load[],
  startMs: number,
  seed: number,
): Generator<LoggedDecision> {
  const random = createRandom(seed);
  const pause = ({ users, ratePerMs }: Load) => -Math.log(1 - random()) / (users * ratePerMs);
  const next = loads.map((load) => ({ load, atMs: pause(load) }));
  for (;;) {
    let first: (typeof next)[number] | undefined;
    for (const one of next) {
      if (one.atMs <= one.load.durationMs && (first === undefined || one.atMs < first.atMs)) first = one;
    }
    if (first === undefined) return;
    const { tier, model, users } = first.load;
    const subject = `${tier}-${1 + Math.floor(random() * users)}`;
    yield { atMs: startMs + first.atMs, subject, tier, model, weight: 1 };
    first.atMs += pause(first.load);
  }
}

/** mulberry32. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
