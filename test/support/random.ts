export type Random = () => number;

/** mulberry32: the same numbers for the same seed, so that what was found can be found again. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export const below = (random: Random, end: number): number => Math.floor(random() * end);
export const oneOf = <T>(random: Random, choices: readonly T[]): T =>
  choices[below(random, choices.length)] as T;
