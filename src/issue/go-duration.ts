/** Nanoseconds a unit, as Go's `time.ParseDuration` spells them: clients of MaaS send its texts. */
const unitNs: ReadonlyMap<string, number> = new Map([
  ['ns', 1],
  ['us', 1e3],
  ['µs', 1e3],
  ['μs', 1e3],
  ['ms', 1e6],
  ['s', 1e9],
  ['m', 6e10],
  ['h', 3.6e12],
]);

/** Longer than any text that anybody means; keeps the pattern below cheap. */
const maxLength = 64;

/** A Go duration, or why the text is none, in words for whoever sent it. */
export type GoDuration = { readonly durationMs: number } | { readonly mistake: string };

/** Text as Go writes durations (`30s`, `2h45m`, `1.5h`, `-1m`, `0`) → milliseconds, possibly with a fraction. */
export function readGoDuration(text: string): GoDuration {
  if (text.length > maxLength) return { mistake: 'is too long to be a duration' };
  const [, sign, rest] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === undefined || rest === '') return { mistake: 'is empty; write for example 4h or 30m' };
  if (rest === '0') return { durationMs: 0 };
  let totalNs = 0;
  let at = 0;
  for (const part of rest.matchAll(/(\d+\.?\d*|\.\d+)([^\d.]*)/gy)) {
    const [whole, count, unit = ''] = part;
    if (unit === '')
      return { mistake: `has a number without a unit ("${count}"); write for example 4h or 30m` };
    const perUnit = unitNs.get(unit);
    if (perUnit === undefined)
      return { mistake: `has the unknown unit "${unit}"; units are h, m, s, ms, us, ns` };
    totalNs += Number(count) * perUnit;
    at += whole.length;
  }
  if (at !== rest.length) return { mistake: 'is not a duration; write for example 4h or 30m' };
  // Go counts nanoseconds in 63 bits.
  if (totalNs > 2 ** 63) return { mistake: 'is longer than any duration may be' };
  return { durationMs: (sign === '-' ? -totalNs : totalNs) / 1e6 };
}

/** Milliseconds → the text that Go's `Duration.String` gives, as clients of MaaS read it: `4h0m0s`, `1m30.5s`. */
export function formatGoDuration(durationMs: number): string {
  const seconds = Math.round(durationMs) / 1000;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = Math.round((seconds % 60) * 1000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${rest}s`;
  return minutes > 0 ? `${minutes}m${rest}s` : `${rest}s`;
}
