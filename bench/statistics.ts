/** A share of sorted or unsorted measurements by the nearest-rank method; NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? Number.NaN;
}

/** The middle one, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/** A ratio of pairs, with what the pairs say of its certainty. */
export interface Ratio {
  /** Median of the pairs' ratios. */
  readonly median: number;
  /** 95 % confidence interval of that median, by bootstrap. */
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
}

const resamples = 4000;

/**
 * What was measured in alternation, pair by pair, as one ratio. Each pair met the same machine, so that what the machine did
 * meanwhile falls out of it. The interval is the percentile bootstrap of the median; always the same for the same pairs.
 */
export function ratioOfPairs(measured: readonly number[], reference: readonly number[]): Ratio {
  const ratios = measured.flatMap((value, at) => {
    const against = reference[at];
    return against === undefined || !Number.isFinite(value / against) ? [] : [value / against];
  });
  return medianWithInterval(ratios);
}

/** The median of measurements, with the 95 % percentile bootstrap interval of it. */
export function medianWithInterval(values: readonly number[]): Ratio {
  const random = createRandom(values.length);
  const medians: number[] = [];
  for (let round = 0; round < resamples && values.length > 0; round += 1) {
    medians.push(median(values.map(() => values[Math.floor(random() * values.length)] ?? Number.NaN)));
  }
  return {
    median: median(values),
    low: percentile(medians, 0.025),
    high: percentile(medians, 0.975),
    pairs: values.length,
  };
}

/** Numbers in [0, 1), the same ones for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
