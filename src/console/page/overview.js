import { barsOf, createChart, kindOf } from './chart.js';
import { h, show } from './dom.js';
import { count, duration, latency, limitWords, rate, share, words } from './format.js';
import { meter } from './meter.js';
import { denialColumns, denialRow, panel, table, tile } from './parts.js';

/** @typedef {import('./live.js').Live} Live */

const ranges = [
  { id: 'minute', words: '1 minute', bars: 60, barMs: 1_000 },
  { id: 'quarter', words: '15 minutes', bars: 90, barMs: 10_000 },
];

/** Behind the last seconds of which the figures are. */
const lastMs = 10_000;
const mostDenials = 8;
const mostSubjects = 5;

/** How it goes, at a glance. */
export function createOverview() {
  const tiles = h('dl', { class: 'tiles' });
  const chart = createChart({ height: 220, label: 'Requests a second, by what came of them' });
  const reasons = h('div', {});
  const tiers = h('div', {});
  const subjects = h('div', {});
  const denials = h('div', {});
  let range = ranges[0];
  /** @type {Live | undefined} */
  let last;

  const choice = h(
    'fieldset',
    { class: 'choice' },
    h('legend', { class: 'unseen' }, 'How far back the chart and the reasons go'),
    ranges.map(({ id, words: text }, at) => {
      const radio = h('input', {
        type: 'radio',
        name: 'range',
        id: `range-${id}`,
        value: id,
        checked: at === 0,
      });
      radio.addEventListener('change', () => {
        range = ranges[at];
        if (last !== undefined) update(last);
      });
      return [radio, h('label', { for: `range-${id}` }, text)];
    }),
  );

  /** @param {Live} live */
  function update(live) {
    last = live;
    const { samples, nowMs } = live;
    const recent = samples.filter(({ atMs }) => nowMs - atMs < lastMs);
    show(tiles, ...tilesOf(recent));
    const shown = range ?? { bars: 60, barMs: 1_000 };
    const bars = barsOf(samples, nowMs, shown);
    chart.set(bars);
    show(reasons, reasonsOf(samples.filter(({ atMs }) => atMs > (bars[0]?.fromMs ?? 0))));
    show(tiers, tiersOf(live));
    show(subjects, subjectTable(live.subjects.slice(0, mostSubjects)));
    const newest = live.denials.slice(-mostDenials).toReversed();
    show(
      denials,
      table({
        caption: 'The newest denials',
        columns: denialColumns,
        rows: newest.map(denialRow),
        empty: 'Nobody was denied since this process started, as far as it remembers.',
      }),
    );
  }

  const element = h(
    'div',
    {},
    h('div', { class: 'head' }, h('h1', {}, 'Overview')),
    tiles,
    h(
      'div',
      { class: 'columns wide-left' },
      panel('traffic', 'Requests a second', choice, chart.element),
      panel('reasons', 'Denials by reason', reasons),
    ),
    panel('tiers', 'Tiers, in the last 10 seconds', tiers),
    panel(
      'subjects',
      'Who asks most, in the last 15 minutes',
      subjects,
      h('p', { class: 'more' }, h('a', { href: '#usage' }, 'All of them, with their budgets')),
    ),
    panel(
      'denials',
      'Newest denials',
      denials,
      h('p', { class: 'more' }, h('a', { href: '#denials' }, 'All that are remembered')),
    ),
  );
  return { element, update };
}

/** @param {readonly import('./live.js').Sample[]} recent */
function tilesOf(recent) {
  const seconds = Math.max(
    0.001,
    recent.reduce((sum, sample) => sum + sample.seconds, 0),
  );
  const allowed = recent.reduce((sum, sample) => sum + sample.allowed, 0);
  const byKind = { refused: 0, unavailable: 0 };
  for (const { denied } of recent) {
    for (const [reason, n] of Object.entries(denied))
      byKind[kindOf(reason) === 'unavailable' ? 'unavailable' : 'refused'] += n;
  }
  const all = allowed + byKind.refused + byKind.unavailable;
  const half = worst(recent.map(({ p50Ms }) => p50Ms));
  const nearlyAll = worst(recent.map(({ p99Ms }) => p99Ms));
  return [
    tile('Requests a second', rate(all / seconds), 'in the last 10 s'),
    tile('Allowed', share(allowed, all), `${count(allowed)} of ${count(all)}`),
    tile('Denied a second', rate(byKind.refused / seconds), 'over a limit, or not permitted'),
    tile(
      'Could not tell',
      rate(byKind.unavailable / seconds),
      byKind.unavailable === 0 ? 'no 5xx' : '5xx a second: see Health',
      byKind.unavailable > 0 ? 'bad' : undefined,
    ),
    tile(
      'Time of a Check',
      half === undefined ? '–' : `≤ ${latency(half)}`,
      nearlyAll === undefined ? 'no requests' : `99 of 100: ≤ ${latency(nearlyAll)}`,
    ),
  ];
}

/** @param {readonly (number | undefined)[]} values */
function worst(values) {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/** @param {readonly import('./live.js').Sample[]} samples */
function reasonsOf(samples) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const { denied } of samples)
    for (const [reason, n] of Object.entries(denied)) sums.set(reason, (sums.get(reason) ?? 0) + n);
  const all = [...sums.values()].reduce((sum, n) => sum + n, 0);
  if (all === 0) return h('p', { class: 'empty' }, 'No denials in this time.');
  const most = Math.max(...sums.values());
  return h(
    'ol',
    { class: 'bars' },
    [...sums]
      .toSorted(([, a], [, b]) => b - a)
      .map(([reason, n]) =>
        h(
          'li',
          { 'data-key': reason },
          h('span', { class: 'what' }, words(reason)),
          h('span', { class: 'n' }, `${count(n)}, ${share(n, all)}`),
          barOf(n, most, kindOf(reason)),
        ),
      ),
  );
}

/** @param {number} n @param {number} most @param {string} kind */
function barOf(n, most, kind) {
  const bar = meter(n, most);
  bar.setAttribute('class', `meter kind-${kind}`);
  return bar;
}

/** @param {Live} live */
function tiersOf({ samples, nowMs, tiers, subjects }) {
  const recent = samples.filter(({ atMs }) => nowMs - atMs < lastMs);
  const seconds = Math.max(
    0.001,
    recent.reduce((sum, sample) => sum + sample.seconds, 0),
  );
  return table({
    caption: 'Tiers, in the last 10 seconds',
    columns: [
      'Tier',
      { text: 'Level', numeric: true },
      'Limits of each subject',
      { text: 'Passed a second', numeric: true },
      { text: 'Denied a second', numeric: true },
      { text: 'Among the busiest', numeric: true },
    ],
    rows: tiers.map(({ name, level, windows, concurrency }) => {
      const passed = recent.reduce((sum, sample) => sum + (sample.tiers[name]?.[0] ?? 0), 0) / seconds;
      const refused = recent.reduce((sum, sample) => sum + (sample.tiers[name]?.[1] ?? 0), 0) / seconds;
      const limits = [
        ...windows.map(limitWords),
        ...(concurrency === undefined ? [] : [`${concurrency.limit} open at once`]),
      ];
      return {
        key: name,
        cells: [
          name,
          level,
          limits.length === 0 ? 'unlimited' : limits.join(', '),
          rate(passed),
          refused > 0 ? h('strong', { class: 'over' }, rate(refused)) : rate(refused),
          subjects.filter(({ tier }) => tier === name).length,
        ],
      };
    }),
    empty: 'The policy in force has no tier.',
  });
}

/** @param {readonly import('./live.js').Subject[]} subjects */
export function subjectTable(subjects) {
  return table({
    caption: 'Who asks most, in the last 15 minutes',
    columns: [
      'Subject',
      'Tier',
      { text: 'Requests', numeric: true },
      { text: 'Denied', numeric: true },
      'Used of each window',
    ],
    rows: subjects.map(({ subject, tier, requests, denied, windows }) => ({
      key: subject,
      cells: [
        subject,
        tier ?? '–',
        count(requests),
        denied > 0 ? h('strong', { class: 'over' }, count(denied)) : '0',
        windows === undefined
          ? h('span', { class: 'none' }, 'the counters can not be read')
          : windows.length === 0
            ? 'unlimited'
            : h('ul', { class: 'windows' }, windows.map(windowItem)),
      ],
    })),
    empty: 'Nobody has asked for anything yet.',
  });
}

/** @param {import('./live.js').WindowInUse} window */
function windowItem(window) {
  const used = Math.max(0, window.limit - window.remaining);
  return h(
    'li',
    {},
    meter(used, window.limit),
    h('span', { class: 'used-words' }, `${count(used)} of ${limitWords(window)}`),
    window.scope !== '*' && h('span', { class: 'none' }, `, ${window.scope}`),
    used > 0 && h('span', { class: 'none' }, `, whole again in ${duration(window.resetAfterMs)}`),
  );
}
