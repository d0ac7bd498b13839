import { kindOf, kindOfStatus } from './chart.js';
import { h } from './dom.js';
import { clock, duration, words } from './format.js';

/**
 * A table with a caption, of rows of cells. The first cell of a row is its heading.
 *
 * @param {object} options
 * @param {string} options.caption
 * @param {readonly (string | { readonly text: string, readonly numeric?: boolean })[]} options.columns
 * @param {readonly { readonly key: string, readonly cells: readonly import('./dom.js').Child[] }[]} options.rows
 * @param {string} options.empty What is said where there are no rows.
 */
export function table({ caption, columns, rows, empty }) {
  const heads = columns.map((column) =>
    typeof column === 'string' ? { text: column, numeric: false } : column,
  );
  if (rows.length === 0) return h('p', { class: 'empty' }, empty);
  // Said in roles too: where it is narrow the sheet draws rows as cards, and browsers then forget that it is a table.
  return h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption },
    h(
      'table',
      { role: 'table' },
      h('caption', { class: 'unseen' }, caption),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads.map(headCell))),
      h(
        'tbody',
        { role: 'rowgroup' },
        rows.map(({ key, cells }) => {
          const own = cells.map((cell, at) => bodyCell(cell, at, heads[at]));
          return h('tr', { role: 'row', 'data-key': key }, own);
        }),
      ),
    ),
  );
}

/** @param {{ readonly text: string, readonly numeric?: boolean }} head */
function headCell({ text, numeric }) {
  return h('th', { scope: 'col', role: 'columnheader', class: numeric ? 'n' : undefined }, text);
}

/**
 * @param {import('./dom.js').Child} cell
 * @param {number} at
 * @param {{ readonly text: string, readonly numeric?: boolean } | undefined} head
 */
function bodyCell(cell, at, head) {
  const attributes = { class: head?.numeric ? 'n' : undefined, 'data-label': head?.text };
  return at === 0
    ? h('th', { ...attributes, scope: 'row', role: 'rowheader' }, cell)
    : h('td', { ...attributes, role: 'cell' }, cell);
}

/** @param {string} text @param {'ok' | 'warn' | 'bad' | 'plain'} [kind] */
export function badge(text, kind = 'plain') {
  return h('span', { class: `badge ${kind}` }, text);
}

/** @param {string} reason @param {number} [status] */
function reasonBadge(reason, status) {
  const kind = status === undefined ? kindOf(reason) : kindOfStatus(status);
  return h('span', { class: `reason kind-${kind}` }, status === undefined ? '' : `${status} `, words(reason));
}

/** @param {import('./live.js').Denial} denial */
export function denialRow({ seq, atMs, reason, status, subject, tier, model, retryAfterMs, requestId }) {
  return {
    key: String(seq),
    cells: [
      h('time', { datetime: new Date(atMs).toISOString() }, clock(atMs)),
      reasonBadge(reason, status),
      subject === undefined ? h('span', { class: 'none' }, 'not known') : subject,
      tier ?? '–',
      model ?? '–',
      retryAfterMs === undefined ? '–' : duration(retryAfterMs),
      h('code', { class: 'id' }, requestId === '' ? '–' : requestId),
    ],
  };
}

export const denialColumns = [
  'Time',
  'Reason',
  'Subject',
  'Tier',
  'Model',
  { text: 'Fits again in', numeric: true },
  'Request id',
];

/** @param {string} id @param {string} title @param {...import('./dom.js').Child} children */
export function panel(id, title, ...children) {
  return h(
    'section',
    { class: 'panel', 'aria-labelledby': `${id}-title` },
    h('h2', { id: `${id}-title` }, title),
    children,
  );
}

/** @param {string} label @param {import('./dom.js').Child} value @param {import('./dom.js').Child} [note] @param {string} [kind] */
export function tile(label, value, note, kind) {
  return h(
    'div',
    { class: `tile ${kind ?? ''}`.trim() },
    h('dt', {}, label),
    h('dd', {}, h('span', { class: 'value' }, value), note && h('span', { class: 'note' }, note)),
  );
}

/**
 * A field with its label and its help.
 *
 * @param {object} options
 * @param {string} options.id
 * @param {string} options.label
 * @param {HTMLElement} options.input
 * @param {string} [options.help]
 */
export function field({ id, label, input, help }) {
  input.id = id;
  if (help !== undefined) input.setAttribute('aria-describedby', `${id}-help`);
  return h(
    'div',
    { class: 'field' },
    h('label', { for: id }, label),
    input,
    help !== undefined && h('p', { class: 'hint', id: `${id}-help` }, help),
  );
}
