import { h, show } from './dom.js';
import { count, words } from './format.js';
import { denialColumns, denialRow, field, table } from './parts.js';

/** Told to a screen reader at most so often. */
const sayEveryMs = 8_000;

/**
 * The last denials, as they happen.
 *
 * @param {{ readonly say: (words: string) => void }} options
 */
export function createDenials({ say }) {
  const reason = /** @type {HTMLSelectElement} */ (
    h('select', {}, h('option', { value: '' }, 'every reason'))
  );
  const text = /** @type {HTMLInputElement} */ (
    h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  );
  const pause = /** @type {HTMLButtonElement} */ (
    h('button', { type: 'button', 'aria-pressed': 'false' }, 'Hold still')
  );
  const summary = h('p', { class: 'hint' });
  const rows = h('div', {});
  /** @type {readonly import('./live.js').Denial[]} */
  let held = [];
  /** @type {import('./live.js').Live | undefined} */
  let last;
  let isHeld = false;
  let saidSeq = -1;
  let saidAtMs = 0;

  function draw() {
    const known = new Set(
      [...held.map((denial) => denial.reason), reason.value].filter((word) => word !== ''),
    );
    show(
      reason,
      h('option', { value: '' }, 'every reason'),
      ...[...known]
        .toSorted()
        .map((word) => h('option', { value: word, selected: word === reason.value }, words(word))),
    );
    const wanted = text.value.trim().toLowerCase();
    const found = held.filter(
      (denial) =>
        (reason.value === '' || denial.reason === reason.value) &&
        (wanted === '' ||
          [denial.subject, denial.tier, denial.model, denial.requestId].some((value) =>
            value?.toLowerCase().includes(wanted),
          )),
    );
    show(
      summary,
      `${count(found.length)} of the last ${count(held.length)} that are remembered${isHeld ? ', held still' : ''}. In a flood only fifty a second are kept; the counters have all of them.`,
    );
    show(
      rows,
      table({
        caption: 'Denials, the newest first',
        columns: denialColumns,
        rows: found.toReversed().map(denialRow),
        empty:
          held.length === 0 ? 'Nobody was denied since this process started.' : 'None of them is like that.',
      }),
    );
  }

  reason.addEventListener('change', draw);
  text.addEventListener('input', draw);
  pause.addEventListener('click', () => {
    isHeld = !isHeld;
    pause.setAttribute('aria-pressed', String(isHeld));
    if (!isHeld && last !== undefined) held = last.denials;
    draw();
  });

  const element = h(
    'div',
    {},
    h('div', { class: 'head' }, h('h1', {}, 'Denials')),
    h(
      'div',
      { class: 'filters', role: 'search', 'aria-label': 'Denials' },
      field({ id: 'denial-reason', label: 'Reason', input: reason }),
      field({ id: 'denial-text', label: 'Subject, tier, model or request id holds', input: text }),
      pause,
    ),
    h('section', { class: 'panel', 'aria-label': 'Denials' }, summary, rows),
  );

  return {
    element,
    /** @param {import('./live.js').Live} live */
    update(live) {
      last = live;
      if (isHeld) return;
      held = live.denials;
      draw();
      const newest = held.at(-1);
      const seq = newest?.seq ?? 0;
      if (saidSeq < 0) saidSeq = seq;
      if (newest !== undefined && seq > saidSeq && performance.now() - saidAtMs > sayEveryMs) {
        say(
          `${seq - saidSeq} new denials, the newest: ${newest.subject ?? 'nobody known'}, ${words(newest.reason)}`,
        );
        saidSeq = seq;
        saidAtMs = performance.now();
      }
    },
  };
}
