import { h, show } from './dom.js';
import { count, duration, memory, moment, share, words } from './format.js';
import { figure, hasFigure } from './live.js';
import { badge, panel, table, tile } from './parts.js';

/** @typedef {import('./live.js').Live} Live */

/** What this process stands on, and how that is. */
export function createHealth() {
  const tiles = h('dl', { class: 'tiles' });
  const parts = h('div', {});
  const watches = h('div', {});
  const caches = h('div', {});
  const questions = h('div', {});
  const counters = h('div', {});
  const registrar = h('div', {});
  const element = h(
    'div',
    {},
    h('div', { class: 'head' }, h('h1', {}, 'Health')),
    tiles,
    h(
      'div',
      { class: 'columns' },
      panel('parts', 'What it depends on', parts),
      panel('watches', 'Watches of the API server', watches),
    ),
    h(
      'div',
      { class: 'columns' },
      panel('caches', 'Remembered answers', caches),
      panel('questions', 'Questions to the API server', questions),
    ),
    h(
      'div',
      { class: 'columns' },
      panel('counters', 'Counters and leases', counters),
      panel('registrar', 'Initial Access Tokens', registrar),
    ),
  );
  return {
    element,
    /** @param {Live} live */
    update(live) {
      show(tiles, ...tilesOf(live));
      show(parts, partsTable(live));
      show(watches, watchesTable(live));
      show(caches, cachesTable(live));
      show(questions, questionsTable(live));
      show(counters, countersTable(live));
      show(registrar, registrarTable(live));
    },
  };
}

/** @param {Live} live */
function tilesOf(live) {
  const startedAtMs = figure(live, 'process_start_time_seconds') * 1000;
  const { status } = live.report;
  return [
    tile('Status', badge(status, status === 'ready' ? 'ok' : 'warn')),
    tile('Running for', duration(live.nowMs - startedAtMs), `since ${moment(startedAtMs)}`),
    tile('Memory', memory(figure(live, 'process_resident_memory_bytes'))),
    tile('Kept out', count(figure(live, 'tiergate_denied_list_entries')), 'entries of tiergate deny'),
  ];
}

const partWords = /** @type {Readonly<Record<string, string>>} */ ({
  policy: 'Policy document',
  serviceAccounts: 'ServiceAccounts of tiers',
  tokenSecrets: 'Secrets of tokens',
  deniedList: 'List of tiergate deny',
  rbac: 'RBAC objects',
  kubernetes: 'API server',
  keys: 'Keys of the API server',
  redis: 'Counters (Redis)',
});

/** @param {Live} live */
function partsTable({ report }) {
  return table({
    caption: 'What it depends on',
    columns: ['Part', 'State', 'What it means'],
    rows: Object.entries(report.parts ?? {}).map(([part, { state, detail }]) => ({
      key: part,
      cells: [
        partWords[part] ?? part,
        badge(state, state === 'ready' ? 'ok' : state === 'degraded' ? 'bad' : 'warn'),
        detail ?? '–',
      ],
    })),
    empty: 'Nothing is told.',
  });
}

/** @param {Live} live */
function watchesTable({ report }) {
  const rows = Object.entries(report)
    .filter(([name]) => name.startsWith('watch '))
    .flatMap(([name, { heardSecondsAgo, places }]) =>
      Object.entries(/** @type {Record<string, any>} */ (places)).map(
        ([place, { phase, forSeconds, objects }]) => ({
          key: `${name} ${place}`,
          cells: [
            name.slice('watch '.length),
            place,
            badge(phase, phase === 'up' ? 'ok' : phase === 'refused' ? 'warn' : 'bad'),
            duration(forSeconds * 1000),
            objects ?? '–',
            heardSecondsAgo === null ? 'never' : `${duration(heardSecondsAgo * 1000)} ago`,
          ],
        }),
      ),
    );
  return table({
    caption: 'Watches of the API server',
    columns: [
      'What',
      'Where',
      'State',
      { text: 'For', numeric: true },
      { text: 'Objects', numeric: true },
      { text: 'Last heard', numeric: true },
    ],
    rows,
    empty: 'Nothing is watched.',
  });
}

/** @param {Live} live */
function cachesTable(live) {
  return table({
    caption: 'Remembered answers',
    columns: [
      'Cache',
      { text: 'Entries', numeric: true },
      { text: 'Answered from it', numeric: true },
      { text: 'Asked', numeric: true },
      { text: 'Stale', numeric: true },
      { text: 'Pushed out', numeric: true },
    ],
    rows: ['identity', 'access'].map((cache) => {
      const events = (/** @type {string} */ event) =>
        figure(live, 'tiergate_cache_events_total', { cache, event });
      const known = events('hit') + events('denied_hit') + events('coalesced');
      const stale = events('stale');
      return {
        key: cache,
        cells: [
          cache === 'identity' ? 'Tokens (TokenReview)' : 'Rights (SubjectAccessReview)',
          count(figure(live, 'tiergate_cache_entries', { cache })),
          share(known, known + events('miss')),
          count(events('miss')),
          stale > 0 ? h('strong', { class: 'over' }, count(stale)) : '0',
          count(events('evicted')),
        ],
      };
    }),
    empty: 'There are no caches.',
  });
}

/** @param {Live} live */
function questionsTable(live) {
  const kinds = [
    ...new Set((live.figures['tiergate_reviews_total'] ?? []).map(({ labels }) => String(labels['kind']))),
  ];
  return table({
    caption: 'Questions to the API server since the start',
    columns: [
      'Kind',
      { text: 'Answered', numeric: true },
      { text: 'Failed', numeric: true },
      { text: 'Under way', numeric: true },
      { text: 'Waiting', numeric: true },
      { text: 'Over budget', numeric: true },
    ],
    rows: kinds.toSorted().map((kind) => {
      const all = figure(live, 'tiergate_reviews_total', { kind });
      const answered = ['allowed', 'denied'].reduce(
        (sum, result) => sum + figure(live, 'tiergate_reviews_total', { kind, result }),
        0,
      );
      const budget = live.report[`budget ${kind}`];
      return {
        key: kind,
        cells: [
          words(kind),
          count(answered),
          all > answered ? h('strong', { class: 'over' }, count(all - answered)) : '0',
          budget?.inFlight ?? '–',
          budget?.queued ?? '–',
          count(figure(live, 'tiergate_review_budget_refused_total', { kind })),
        ],
      };
    }),
    empty: 'Nothing was asked yet.',
  });
}

/** @param {Live} live */
function countersTable(live) {
  if (!hasFigure(live, 'tiergate_lease_requests_total')) {
    return h(
      'p',
      { class: 'empty' },
      'Counters are in the memory of this process: there is no Redis, and there are no leases.',
    );
  }
  const commands = live.figures['tiergate_redis_commands_total'] ?? [];
  const all = commands.reduce((sum, { value }) => sum + value, 0);
  const ok = figure(live, 'tiergate_redis_commands_total', { result: 'ok' });
  const leased = (/** @type {string} */ event) => figure(live, 'tiergate_lease_requests_total', { event });
  const without = figure(live, 'tiergate_limit_without_store_total');
  const rows = /** @type {readonly (readonly [string, import('./dom.js').Child, string])[]} */ ([
    [
      'Redis',
      figure(live, 'tiergate_redis_up') === 1 ? badge('up', 'ok') : badge('away', 'bad'),
      'whether the connection takes commands',
    ],
    ['Commands', count(all), `${count(all - ok)} failed`],
    [
      'Decided without it',
      without > 0 ? h('strong', { class: 'over' }, count(without)) : '0',
      'by onStoreUnavailable, since the start',
    ],
    [
      'Leases taken',
      count(figure(live, 'tiergate_leases_total')),
      'blocks of requests charged ahead of need',
    ],
    ['Of their requests spent', count(leased('spent')), `of ${count(leased('taken'))} taken`],
    ['Given back', count(leased('returned')), 'not needed after all'],
    ['Stranded', count(leased('stranded')), 'neither spent nor given back'],
  ]);
  return table({
    caption: 'Counters and leases',
    columns: ['What', { text: 'Figure', numeric: true }, 'Which means'],
    rows: rows.map((cells) => ({ key: cells[0], cells })),
    empty: '',
  });
}

/** @param {Live} live */
function registrarTable({ registrar, nowMs }) {
  if (registrar === undefined) {
    return h(
      'p',
      { class: 'empty' },
      'The registrar is another program; listeners.console.registrar (the URL of its ops port) has its tokens shown here.',
    );
  }
  if (registrar.state !== 'answered') return h('p', { class: 'alert' }, 'The registrar does not answer.');
  return table({
    caption: 'Initial Access Tokens of the registrar',
    columns: [
      'Provider',
      'Environment',
      'State',
      { text: 'Expires in', numeric: true },
      { text: 'Clients left', numeric: true },
    ],
    rows: registrar.tokens.map(
      (/** @type {any} */ { path, provider, environment, expiresAtMs, remainingClients, isUsable }) => {
        const leftMs = expiresAtMs === undefined ? undefined : expiresAtMs - nowMs;
        return {
          key: path,
          cells: [
            provider ?? path,
            environment ?? '–',
            badge(isUsable ? 'usable' : 'of no use', isUsable ? 'ok' : 'bad'),
            leftMs === undefined
              ? 'never, or not known'
              : leftMs < 0
                ? h('strong', { class: 'over' }, 'expired')
                : leftMs < 14 * 86_400_000
                  ? h('strong', { class: 'over' }, duration(leftMs))
                  : duration(leftMs),
            remainingClients ?? '–',
          ],
        };
      },
    ),
    empty: 'The registrar has no token to tell of.',
  });
}
