/** Figures and times in words of one kind, wherever they stand. */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** @param {number} value */
export function count(value) {
  return Math.abs(value) >= 1e6 ? short.format(value) : whole.format(value);
}

/** @param {number} perSecond */
export function rate(perSecond) {
  if (perSecond === 0) return '0';
  if (perSecond < 0.095) return perSecond.toFixed(2);
  return perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

/**
 * @param {number} part
 * @param {number} all
 */
export function share(part, all) {
  if (all === 0) return '–';
  const percent = (100 * part) / all;
  // Never "100 %" where something is missing, nor "0 %" where something is there.
  if (percent > 0 && percent < 0.1) return '<0.1 %';
  if (percent < 100 && percent > 99.9) return '>99.9 %';
  return `${percent.toFixed(percent % 1 === 0 ? 0 : 1)} %`;
}

/**
 * Milliseconds as the largest units that matter: `2m`, `1h 30m`, `4.2s`.
 *
 * @param {number} ms
 */
export function duration(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  if (ms < 10_000 && ms % 1000 !== 0) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor((seconds % 86_400) / 3600), 'h'],
    [Math.floor((seconds % 3600) / 60), 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([value]) => value !== 0);
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value !== 0)
    .map(([value, unit]) => `${value}${unit}`)
    .join(' ');
}

/** @param {number} ms */
export function latency(ms) {
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  return ms < 1000
    ? `${ms < 10 ? ms.toFixed(1).replace(/\.0$/, '') : Math.round(ms)} ms`
    : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} atMs */
export function clock(atMs) {
  return new Date(atMs).toLocaleTimeString('en-GB');
}

/** In the reader's own time, as `clock`. @param {number} atMs */
export function moment(atMs) {
  return new Date(atMs).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}

/** @param {number} bytes */
export function memory(bytes) {
  return `${whole.format(bytes / 1_048_576)} MiB`;
}

/** @param {string} reason */
export function words(reason) {
  return reason.replaceAll('_', ' ');
}

const units = /** @type {Readonly<Record<string, string>>} */ ({
  requests: 'requests',
  tokens: 'tokens',
  inputTokens: 'input tokens',
  outputTokens: 'output tokens',
});

/** @param {string} unit */
export function unitWords(unit) {
  return units[unit] ?? unit;
}

/** @param {{ readonly unit: string, readonly limit: number, readonly windowMs: number, readonly mode: string }} window */
export function limitWords({ unit, limit, windowMs, mode }) {
  return `${count(limit)} ${unitWords(unit)} per ${duration(windowMs)}${mode === 'shadow' ? ' (shadow)' : ''}`;
}
