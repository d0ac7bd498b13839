import { clock, count, duration, rate } from './format.js';
import { h, show, svg } from './dom.js';

/** What came of requests, as the charts tell it apart; the order in which they stand on each other. */
const kinds = /** @type {const} */ ([
  { key: 'allowed', words: 'allowed', statuses: [200] },
  { key: 'limited', words: 'over a limit (429)', statuses: [429] },
  { key: 'unknown', words: 'no good token (401)', statuses: [401] },
  { key: 'forbidden', words: 'not permitted (403)', statuses: [403] },
  { key: 'invalid', words: 'other refusals (4xx)', statuses: [400, 404, 413] },
  { key: 'unavailable', words: 'could not tell (5xx)', statuses: [503, 500] },
]);

/** @typedef {(typeof kinds)[number]['key']} Kind */

const reasonKinds = /** @type {Readonly<Record<string, Kind>>} */ ({
  credential_missing: 'unknown',
  credential_malformed: 'unknown',
  token_expired: 'unknown',
  token_rejected: 'unknown',
  token_revoked: 'unknown',
  wrong_audience: 'unknown',
  no_tier: 'forbidden',
  model_forbidden: 'forbidden',
  mint_forbidden: 'forbidden',
  requests_exceeded: 'limited',
  tokens_exceeded: 'limited',
  concurrency_exceeded: 'limited',
  capacity_exceeded: 'limited',
  throttled: 'limited',
  too_many_tokens: 'limited',
  identity_unavailable: 'unavailable',
  access_unavailable: 'unavailable',
  limit_unavailable: 'unavailable',
  overloaded: 'unavailable',
  tier_not_provisioned: 'unavailable',
  internal: 'unavailable',
});

/** @param {string} reason @returns {Kind} */
export function kindOf(reason) {
  return reasonKinds[reason] ?? 'invalid';
}

/** @param {number} status @returns {Kind} */
export function kindOfStatus(status) {
  return (
    kinds.find(({ statuses }) => /** @type {readonly number[]} */ (statuses).includes(status))?.key ??
    'invalid'
  );
}

/**
 * @typedef {object} Bar
 * @property {number} fromMs
 * @property {number} seconds
 * @property {Record<Kind, number>} counts
 */

/**
 * Samples → bars of one length, up to now; a bar that nothing is known of is empty.
 *
 * @param {readonly import('./live.js').Sample[]} samples
 * @param {number} nowMs
 * @param {{ readonly bars: number, readonly barMs: number }} range
 * @returns {readonly Bar[]}
 */
export function barsOf(samples, nowMs, { bars, barMs }) {
  // Bars stand still: each is of a fixed stretch of the clock, and only the last one grows.
  const endMs = Math.ceil(nowMs / barMs) * barMs;
  const startMs = endMs - bars * barMs;
  const made = Array.from({ length: bars }, (_, at) => ({
    fromMs: startMs + at * barMs,
    seconds: 0,
    counts: /** @type {Record<Kind, number>} */ (Object.fromEntries(kinds.map(({ key }) => [key, 0]))),
  }));
  for (const { atMs, seconds, allowed, denied } of samples) {
    const bar = made[Math.floor((atMs - 1 - startMs) / barMs)];
    if (bar === undefined) continue;
    bar.seconds += seconds;
    bar.counts.allowed += allowed;
    for (const [reason, n] of Object.entries(denied)) bar.counts[kindOf(reason)] += n;
  }
  return made;
}

/** Room for the figures beside the bars, in px. */
const left = 44;
const bottom = 22;
const top = 8;

/**
 * Bars of what came of requests, per second, with what they say in words below: under the pointer, by the arrow keys,
 * and as a table.
 *
 * @param {{ readonly height: number, readonly label: string }} options
 */
export function createChart({ height, label }) {
  const drawing = svg('svg', { class: 'chart', height, 'aria-hidden': 'true' });
  const reading = h('p', { class: 'reading' });
  const slider = h('div', {
    class: 'plot',
    tabindex: 0,
    role: 'slider',
    'aria-label': label,
    'aria-orientation': 'horizontal',
    'aria-valuemin': 0,
  });
  slider.append(drawing);
  const element = h('div', { class: 'figure' }, slider, legend(), reading);
  /** @type {readonly Bar[]} */
  let bars = [];
  /** The bar that is read; undefined: the whole. @type {number | undefined} */
  let chosen;
  let width = 0;

  new ResizeObserver(([entry]) => {
    width = Math.floor(entry?.contentRect.width ?? 0);
    draw();
  }).observe(slider);

  /** @param {number} at */
  function choose(at) {
    chosen = Math.min(bars.length - 1, Math.max(0, at));
    draw();
  }

  slider.addEventListener('pointermove', (event) => {
    const { x } = slider.getBoundingClientRect();
    choose(Math.floor(((event.clientX - x - left) / (width - left)) * bars.length));
  });
  slider.addEventListener('pointerleave', () => {
    chosen = undefined;
    draw();
  });
  slider.addEventListener('blur', () => {
    chosen = undefined;
    draw();
  });
  slider.addEventListener('keydown', (event) => {
    const last = bars.length - 1;
    const at = chosen ?? last;
    const next = {
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      Home: 0,
      End: last,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(next);
  });

  function draw() {
    if (width < left + 20 || bars.length === 0) return;
    const highest = niceMost(Math.max(...bars.map(rateOf)));
    const inner = height - bottom - top;
    const step = (width - left) / bars.length;
    const gap = step > 6 ? 2 : step > 3 ? 1 : 0;
    const y = (/** @type {number} */ value) => top + inner - (value / highest) * inner;
    drawing.setAttribute('width', String(width));
    drawing.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const grid = [0, 0.5, 1].map((part) => {
      const at = Math.round(y(part * highest)) + 0.5;
      return [
        svg('line', { class: part === 0 ? 'axis' : 'grid', x1: left, x2: width, y1: at, y2: at }),
        svg('text', { class: 'tick', x: left - 8, y: at + 4, 'text-anchor': 'end' }, rate(part * highest)),
      ];
    });
    const spanMs = bars.length * ((bars[1]?.fromMs ?? 0) - (bars[0]?.fromMs ?? 0));
    const times = [0, 0.5, 1].map((part) =>
      svg(
        'text',
        {
          class: 'tick',
          x: left + part * (width - left),
          y: height - 5,
          'text-anchor': part === 0 ? 'start' : part === 1 ? 'end' : 'middle',
        },
        part === 1 ? 'now' : `−${duration((1 - part) * spanMs)}`,
      ),
    );
    const stacks = bars.map((bar, at) => {
      let sum = 0;
      const x = left + at * step;
      const parts = kinds.map(({ key }) => {
        const value = bar.counts[key] / Math.max(bar.seconds, 0.001);
        if (value === 0) return undefined;
        const from = y(sum);
        sum += value;
        const rectHeight = Math.max(0.75, from - y(sum));
        return svg('rect', {
          class: `kind-${key}`,
          x: x.toFixed(2),
          y: (from - rectHeight).toFixed(2),
          width: Math.max(0.5, step - gap).toFixed(2),
          height: rectHeight.toFixed(2),
        });
      });
      return [
        at === chosen && svg('rect', { class: 'chosen', x, y: top, width: step, height: inner }),
        parts,
      ];
    });
    show(drawing, ...grid, ...times, ...stacks);
    tell();
  }

  function tell() {
    const bar = chosen === undefined ? undefined : bars[chosen];
    const text =
      bar === undefined ? wordsOfAll(bars) : `${clock(bar.fromMs)}: ${wordsOf(bar.counts, bar.seconds)}`;
    show(reading, text);
    slider.setAttribute('aria-valuemax', String(Math.max(0, bars.length - 1)));
    slider.setAttribute('aria-valuenow', String(chosen ?? Math.max(0, bars.length - 1)));
    slider.setAttribute('aria-valuetext', text);
  }

  return {
    element,
    /** @param {readonly Bar[]} next */
    set(next) {
      bars = next;
      draw();
    },
  };
}

function legend() {
  return h(
    'ul',
    { class: 'legend', 'aria-hidden': 'true' },
    kinds.map(({ key, words }) =>
      h(
        'li',
        {},
        svg(
          'svg',
          { class: 'swatch', viewBox: '0 0 10 10' },
          svg('rect', { class: `kind-${key}`, width: 10, height: 10, rx: 2 }),
        ),
        words,
      ),
    ),
  );
}

/** @param {Bar} bar */
function rateOf({ counts, seconds }) {
  return total(counts) / Math.max(seconds, 0.001);
}

/** @param {Record<Kind, number>} counts */
function total(counts) {
  return Object.values(counts).reduce((sum, n) => sum + n, 0);
}

/** @param {Record<Kind, number>} counts @param {number} seconds */
function wordsOf(counts, seconds) {
  const all = total(counts);
  if (all === 0) return seconds === 0 ? 'nothing is known of this time' : 'no requests';
  const parts = kinds
    .filter(({ key }) => counts[key] > 0)
    .map(({ key, words }) => `${count(counts[key])} ${words}`);
  return `${rate(all / Math.max(seconds, 0.001))} a second; ${parts.join(', ')}`;
}

/** @param {readonly Bar[]} bars */
function wordsOfAll(bars) {
  const counts = /** @type {Record<Kind, number>} */ (
    Object.fromEntries(kinds.map(({ key }) => [key, bars.reduce((sum, bar) => sum + bar.counts[key], 0)]))
  );
  const seconds = bars.reduce((sum, bar) => sum + bar.seconds, 0);
  if (seconds === 0) return 'The first sample is on its way.';
  return `All of it: ${wordsOf(counts, seconds)}`;
}

/** @param {number} value */
function niceMost(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((factor) => factor * power).find((most) => most >= value) ?? 10 * power;
}
