import { ask, Refused } from './api.js';
import { h, show } from './dom.js';
import { duration, limitWords, moment } from './format.js';
import { figure } from './live.js';
import { badge, panel, table, tile } from './parts.js';

/** Tiers and limits in force. */
export function createPolicy() {
  const tiles = h('dl', { class: 'tiles' });
  const fault = h('div', {});
  const body = h('div', {});
  const element = h(
    'div',
    {},
    h('div', { class: 'head' }, h('h1', {}, 'Policy in force')),
    tiles,
    fault,
    body,
  );
  let shown = -1;
  let isAsking = false;

  /** @param {number} generation */
  async function load(generation) {
    if (isAsking) return;
    isAsking = true;
    try {
      const policy = await ask('GET', 'api/policy');
      shown = generation;
      show(body, ...bodyOf(policy));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      show(body, h('p', { class: 'alert' }, error.message));
    } finally {
      isAsking = false;
    }
  }

  return {
    element,
    /** @param {import('./live.js').Live} live */
    update(live) {
      const generation = figure(live, 'tiergate_policy_generation');
      const loadedAtMs = figure(live, 'tiergate_policy_loaded_timestamp_seconds') * 1000;
      const part = live.report.parts?.policy;
      show(
        tiles,
        tile('Version', generation, 'documents taken since the start'),
        tile('In force for', duration(live.nowMs - loadedAtMs), `since ${moment(loadedAtMs)}`),
        tile('Tiers', live.tiers.length),
        tile(
          'Newest document',
          part?.state === 'degraded' ? badge('refused', 'bad') : badge('in force', 'ok'),
        ),
      );
      show(fault, part?.state === 'degraded' ? h('p', { class: 'alert', role: 'alert' }, part.detail) : '');
      if (generation !== shown) void load(generation);
    },
  };
}

/** @param {any} policy */
function bodyOf({ source, warnings, defaultTier, tiers, capacity }) {
  return [
    panel(
      'tiers-in-force',
      'Tiers',
      h(
        'p',
        { class: 'hint' },
        `From ${source}. The highest level among a caller's tiers wins.`,
        defaultTier === undefined ? '' : ` Whoever is in none is ${defaultTier}.`,
      ),
      table({
        caption: 'Tiers, the highest first',
        columns: [
          'Tier',
          { text: 'Level', numeric: true },
          'Groups',
          'Limits of each subject',
          'For some models',
          'Of a team',
          'Redis away',
          { text: 'Longest token', numeric: true },
        ],
        rows: tiers.map(tierRow),
        empty: 'There is no tier: nobody may use anything.',
      }),
    ),
    panel(
      'capacity',
      'Capacity of models',
      table({
        caption: 'What a model takes, whoever asks',
        columns: ['Model', 'Limits'],
        rows: capacity.map((/** @type {any} */ { model, windows }) => ({
          key: model,
          cells: [model, lines(windows.map(limitWords))],
        })),
        empty: 'No model has limits of its own.',
      }),
    ),
    panel(
      'warnings',
      'Warnings about the document',
      warnings.length === 0
        ? h('p', { class: 'empty' }, 'None.')
        : h(
            'ul',
            {},
            warnings.map((/** @type {string} */ warning) => h('li', {}, warning)),
          ),
    ),
  ];
}

/** @param {any} tier */
function tierRow({
  name,
  displayName,
  description,
  level,
  groups,
  windows,
  models,
  shared,
  concurrency,
  onStoreUnavailable,
  maxTokenLifetimeMs,
}) {
  const own = [
    ...windows.map(limitWords),
    ...(concurrency === undefined ? [] : [`${concurrency.limit} open at once`]),
  ];
  const some = models.map(
    (/** @type {any} */ each) =>
      `${each.model}: ${[...each.windows.map(limitWords), ...(each.weight === 1 ? [] : [`weight ${each.weight}`])].join(', ')}`,
  );
  return {
    key: name,
    cells: [
      h(
        'span',
        { title: description === '' ? undefined : description },
        name,
        displayName !== '' && displayName !== name && h('span', { class: 'none' }, ` ${displayName}`),
      ),
      level,
      lines(groups),
      own.length === 0 ? 'unlimited' : lines(own),
      some.length === 0 ? '–' : lines(some),
      shared === undefined ? '–' : lines([shared.by, ...shared.windows.map(limitWords)]),
      onStoreUnavailable ?? 'as configured',
      maxTokenLifetimeMs === undefined ? 'the cluster’s' : duration(maxTokenLifetimeMs),
    ],
  };
}

/** @param {readonly string[]} texts */
function lines(texts) {
  return h(
    'ul',
    { class: 'plain' },
    texts.map((text) => h('li', {}, text)),
  );
}
