import { ask, Refused } from './api.js';
import { h, show, svg } from './dom.js';
import { count, duration, moment, share, unitWords } from './format.js';
import { policyText } from './policy-text.js';
import { field, panel, table, tile } from './parts.js';

const exampleLoad = 'tier=free users=200 rate=3/1m for=1h model=llm/llama';

/** Who would have been denied by another document. */
export function createSimulate() {
  const policy = /** @type {HTMLTextAreaElement} */ (
    h('textarea', { rows: 14, required: true, spellcheck: 'false', autocomplete: 'off' })
  );
  const asLoad = /** @type {HTMLInputElement} */ (
    h('input', { type: 'radio', name: 'past', id: 'past-load', checked: true })
  );
  const asLog = /** @type {HTMLInputElement} */ (h('input', { type: 'radio', name: 'past', id: 'past-log' }));
  const load = /** @type {HTMLTextAreaElement} */ (
    h('textarea', { rows: 3, spellcheck: 'false', required: true })
  );
  const log = /** @type {HTMLInputElement} */ (
    h('input', { type: 'file', accept: '.jsonl,.log,.json,.txt' })
  );
  const fill = /** @type {HTMLButtonElement} */ (
    h('button', { type: 'button', class: 'quiet' }, 'Fill in what is in force')
  );
  const button = /** @type {HTMLButtonElement} */ (
    h('button', { type: 'submit', class: 'primary' }, 'Simulate')
  );
  const answer = h('div', { 'aria-live': 'polite' });
  load.value = exampleLoad;
  const loadField = field({
    id: 'simulate-load',
    label: 'Loads, one a line',
    input: load,
    help: 'So many users of a tier, each at that rate.',
  });
  const logField = field({
    id: 'simulate-log',
    label: 'Decision log',
    input: log,
    help: 'A JSON object a line, at most 8 MB, of log.decisions: all or {sample: N}. Larger ones: tiergate simulate.',
  });

  function draw() {
    loadField.hidden = asLog.checked;
    load.disabled = asLog.checked;
    logField.hidden = asLoad.checked;
    log.required = asLog.checked;
  }
  for (const radio of [asLoad, asLog]) radio.addEventListener('change', draw);
  draw();

  /** @param {() => Promise<void>} act */
  async function guarded(act) {
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      show(answer, h('p', { class: 'alert' }, `Not simulated: ${error.message}`));
    } finally {
      button.disabled = false;
    }
  }

  async function simulate() {
    show(answer, h('p', { class: 'empty' }, 'Under way …'));
    const past = asLog.checked ? { log: (await log.files?.[0]?.text()) ?? '' } : { load: load.value };
    show(answer, ...wordsOf(await ask('POST', 'api/simulate', { policy: policy.value, ...past })));
  }

  async function fillIn() {
    policy.value = policyText(await ask('GET', 'api/policy'));
  }

  const form = h(
    'form',
    { class: 'form' },
    field({
      id: 'simulate-policy',
      label: 'Policy document to try out',
      input: policy,
      help: 'A list of tiers, as docs/policy.md has it. Nothing of it goes into force.',
    }),
    fill,
    h(
      'fieldset',
      { class: 'choice' },
      h('legend', {}, 'Against'),
      asLoad,
      h('label', { for: 'past-load' }, 'a load that you describe'),
      asLog,
      h('label', { for: 'past-log' }, 'a decision log'),
    ),
    loadField,
    logField,
    button,
  );
  fill.addEventListener('click', () => void guarded(fillIn));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void guarded(simulate);
  });

  return {
    element: h(
      'div',
      {},
      h('div', { class: 'head' }, h('h1', {}, 'Simulate')),
      h(
        'div',
        { class: 'columns top' },
        panel('document', 'A document and a past', form),
        panel('outcome', 'Who would have been denied', answer),
      ),
    ),
    update() {
      if (answer.childNodes.length > 0) return;
      show(
        answer,
        h(
          'p',
          { class: 'empty' },
          'Requests are counted anew with the limiter’s own windows; what comes of them will stand here.',
        ),
      );
    },
  };
}

/** @param {any} simulation */
function wordsOf({ decisions, from, to, total, byTier, byUser, byModel, deniedBy, users, timeline, notes }) {
  const changed = byUser.filter(
    (/** @type {any} */ user) => user.newlyDenied + user.newlyAllowed + user.deniedNow > 0,
  );
  return [
    h(
      'p',
      { class: 'hint' },
      `${count(decisions)} decisions of ${count(users)} users, from ${moment(Date.parse(from))} to ${moment(Date.parse(to))}.`,
    ),
    h(
      'dl',
      { class: 'tiles' },
      tile(
        'Denied',
        share(total.deniedNow, total.requests),
        `${count(total.deniedNow)} of ${count(total.requests)}`,
      ),
      tile('Newly denied', count(total.newlyDenied), 'passed before'),
      tile('Newly passed', count(total.newlyAllowed), 'denied before'),
    ),
    timelineOf(timeline),
    h('h3', {}, 'By tier'),
    tallyTable('By tier', 'Tier', byTier),
    h('h3', {}, 'By user'),
    tallyTable('By user', 'User', changed.slice(0, 10)),
    h('h3', {}, 'By model'),
    tallyTable('By model', 'Model', byModel.slice(0, 10)),
    h('h3', {}, 'Denied by'),
    table({
      caption: 'Limits that deny',
      columns: ['Limit', 'Tier', { text: 'Denied', numeric: true }],
      rows: deniedBy
        .slice(0, 10)
        .map((/** @type {any} */ { tier, scope, unit, windowMs, limit, denied }) => ({
          key: `${tier} ${scope} ${unit} ${windowMs}`,
          cells: [
            `${count(limit)} ${unitWords(unit)} per ${duration(windowMs)}${scope === '*' ? '' : `, ${scope}`}`,
            tier,
            count(denied),
          ],
        })),
      empty: 'No limit denies anything.',
    }),
    notes.length > 0 &&
      h(
        'ul',
        { class: 'notes' },
        notes.map((/** @type {string} */ note) => h('li', {}, note)),
      ),
  ];
}

/** @param {string} caption @param {string} what @param {readonly any[]} tallies */
function tallyTable(caption, what, tallies) {
  return table({
    caption,
    columns: [
      what,
      { text: 'Requests', numeric: true },
      { text: 'Denied then', numeric: true },
      { text: 'Denied now', numeric: true },
      { text: 'Newly denied', numeric: true },
    ],
    rows: tallies.map(({ name, requests, deniedThen, deniedNow, newlyDenied }) => ({
      key: name,
      cells: [
        name,
        count(requests),
        count(deniedThen),
        count(deniedNow),
        newlyDenied > 0 ? h('strong', { class: 'over' }, count(newlyDenied)) : '0',
      ],
    })),
    empty: 'Nobody is denied.',
  });
}

const width = 600;
const height = 110;
const mostBars = 60;

/** Requests over time, and above them in another colour what would be denied; the figures stand in the tables. */
function timelineOf(/** @type {any} */ { buckets, bucketMs }) {
  const each = Math.max(1, Math.ceil(buckets.length / mostBars));
  /** @type {{ requests: number, deniedNow: number }[]} */
  const bars = [];
  for (const [at, { requests, deniedNow }] of buckets.entries()) {
    if (at % each === 0) bars.push({ requests: 0, deniedNow: 0 });
    const bar = bars.at(-1);
    if (bar === undefined) continue;
    bar.requests += requests;
    bar.deniedNow += deniedNow;
  }
  const most = Math.max(1, ...bars.map(({ requests }) => requests));
  const step = width / Math.max(1, bars.length);
  const label = `Requests in ${bars.length} stretches of ${duration(each * bucketMs)}, at most ${count(most)} in one`;
  return h(
    'figure',
    { class: 'timeline' },
    svg(
      'svg',
      { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label, preserveAspectRatio: 'none' },
      bars.map(({ requests, deniedNow }, at) => {
        const passed = ((requests - deniedNow) / most) * height;
        const refused = (deniedNow / most) * height;
        const place = { x: at * step, width: Math.max(1, step - 2) };
        return [
          svg('rect', { class: 'kind-allowed', ...place, y: height - passed, height: passed }),
          svg('rect', { class: 'kind-limited', ...place, y: height - passed - refused, height: refused }),
        ];
      }),
    ),
    h('figcaption', { class: 'none' }, `${label}; orange would be denied.`),
  );
}
