const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const shape = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;

/**
 * Text with units → milliseconds: `30s`, `1.5h`, `1h30m`. Units are `ms s m h d`. A number without a unit
 * is refused: nobody can tell seconds from milliseconds later. Throws RangeError with words for the operator.
 */
export function parseDuration(text: string): number {
  if (!shape.test(text)) {
    const hint = /^\d+(\.\d+)?$/.test(text)
      ? `${text} has no unit; write ${text}s for seconds`
      : `"${text}" is not a duration`;
    throw new RangeError(`${hint} (units: ms, s, m, h, d; for example 30s, 1.5h, 1h30m)`);
  }
  let totalMs = 0;
  for (const [, count, unit] of text.matchAll(/([\d.]+)(ms|s|m|h|d)/g)) {
    totalMs += Number(count) * unitMs[unit as keyof typeof unitMs];
  }
  if (!Number.isSafeInteger(Math.round(totalMs))) throw new RangeError(`"${text}" is too long a duration`);
  return Math.round(totalMs);
}

/** Milliseconds → the shortest exact text of whole units: `90s` is `1m30s`. */
export function formatDuration(durationMs: number): string {
  let rest = Math.round(durationMs);
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / unitMs[unit]);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * unitMs[unit];
  }
  return text === '' ? '0s' : text;
}
