import { ask, Refused } from './api.js';
import { h, show } from './dom.js';
import { moment } from './format.js';
import { subjectTable } from './overview.js';
import { field, panel } from './parts.js';

/**
 * Who has used how much, and what an operator does about it.
 *
 * @param {{ readonly mayChange: boolean }} options
 */
export function createUsage({ mayChange }) {
  const subjects = h('div', {});
  const element = h(
    'div',
    {},
    h('div', { class: 'head' }, h('h1', {}, 'Usage')),
    panel(
      'busiest',
      'Who asks most, in the last 15 minutes',
      h(
        'p',
        { class: 'hint' },
        'Of floods one request in some is looked at, so counts of requests are about right. Windows are read from the counters themselves: of requests and of tokens alike, what is reserved for open requests included.',
      ),
      subjects,
    ),
    mayChange
      ? panel('change', 'Boost or reset', changeForm())
      : panel(
          'change',
          'Boost or reset',
          h(
            'p',
            { class: 'empty' },
            'You may look and not change: that needs the right to update console (tiergate.dev).',
          ),
        ),
  );
  return {
    element,
    /** @param {import('./live.js').Live} live */
    update: (live) => show(subjects, subjectTable(live.subjects)),
  };
}

const actions = /** @type {const} */ ([
  { value: 'boost', words: 'Boost: raise every limit for a time' },
  { value: 'end-boost', words: 'End a boost before its time' },
  { value: 'reset', words: 'Reset: forget what was used' },
]);

function changeForm() {
  const action = /** @type {HTMLSelectElement} */ (
    h(
      'select',
      { name: 'action' },
      actions.map(({ value, words }) => h('option', { value }, words)),
    )
  );
  const kind = /** @type {HTMLSelectElement} */ (
    h(
      'select',
      { name: 'kind' },
      h('option', { value: 'user' }, 'user'),
      h('option', { value: 'group' }, 'team (a group)'),
      h('option', { value: 'model' }, 'model (namespace/name)'),
    )
  );
  const name = /** @type {HTMLInputElement} */ (
    h('input', { name: 'name', required: true, autocomplete: 'off', spellcheck: 'false' })
  );
  const percent = /** @type {HTMLInputElement} */ (
    h('input', {
      name: 'percent',
      type: 'number',
      min: 101,
      max: 100000,
      step: 1,
      value: 200,
      required: true,
    })
  );
  const time = /** @type {HTMLInputElement} */ (
    h('input', { name: 'duration', value: '1h', required: true, pattern: '(\\d+(\\.\\d+)?(ms|s|m|h|d))+' })
  );
  const reason = /** @type {HTMLInputElement} */ (
    h('input', { name: 'reason', required: true, maxlength: 500 })
  );
  const button = /** @type {HTMLButtonElement} */ (
    h('button', { type: 'submit', class: 'primary' }, 'Do it')
  );
  const answer = h('p', { class: 'answer', role: 'status' });
  const boostOnly = [
    field({ id: 'change-percent', label: 'Percent of each limit', input: percent, help: '200 doubles it' }),
    field({ id: 'change-duration', label: 'For', input: time, help: '30m, 2h, at most 31d' }),
  ];
  const reasonField = field({ id: 'change-reason', label: 'Why, for the audit record', input: reason });

  const form = /** @type {HTMLFormElement} */ (
    h(
      'form',
      { class: 'form' },
      field({ id: 'change-action', label: 'What', input: action }),
      h(
        'div',
        { class: 'row' },
        field({ id: 'change-kind', label: 'Of whom', input: kind }),
        field({ id: 'change-name', label: 'Name', input: name }),
      ),
      h('div', { class: 'row' }, boostOnly),
      reasonField,
      button,
      answer,
    )
  );

  action.addEventListener('change', () => {
    for (const each of boostOnly) each.hidden = action.value !== 'boost';
    for (const each of [percent, time]) each.disabled = action.value !== 'boost';
    reasonField.hidden = action.value === 'end-boost';
    reason.disabled = action.value === 'end-boost';
  });

  async function change() {
    button.disabled = true;
    answer.className = 'answer';
    show(answer, 'On its way …');
    try {
      const target = { kind: kind.value, name: name.value.trim() };
      const body = {
        boost: { ...target, percent: Number(percent.value), duration: time.value, reason: reason.value },
        'end-boost': target,
        reset: { ...target, reason: reason.value },
      }[action.value];
      const done = await ask('POST', `api/usage/${action.value}`, body);
      const until =
        done.expiresAtMs === undefined
          ? ''
          : `: ${done.percent} % of each limit until ${moment(done.expiresAtMs)}`;
      answer.className = 'answer ok';
      show(answer, `Done for ${target.name}${until}.`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      answer.className = 'answer bad';
      show(answer, `Not done: ${error.message}`);
    } finally {
      button.disabled = false;
    }
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void change();
  });
  return form;
}
