import { ask, Refused } from './api.js';
import { h, show } from './dom.js';
import { count, duration, limitWords, words } from './format.js';
import { meter } from './meter.js';
import { badge, field, panel } from './parts.js';

const stageWords = /** @type {Readonly<Record<string, string>>} */ ({
  route: 'Route',
  credential: 'Credential',
  identity: 'Identity',
  presence: 'Presence',
  subject: 'Subject',
  deniedList: 'Denied list',
  tier: 'Tier',
  model: 'Model',
  access: 'Access',
  limit: 'Limits',
});

const verdictWords =
  /** @type {Readonly<Record<string, readonly [string, 'ok' | 'warn' | 'bad' | 'plain']>>} */ ({
    passed: ['passed', 'ok'],
    denied: ['denied', 'bad'],
    couldNotTell: ['could not tell', 'bad'],
    unknown: ['not looked at', 'warn'],
    notReached: ['not reached', 'plain'],
  });

const sourceWords = /** @type {Readonly<Record<string, string>>} */ ({
  request: 'the request',
  question: 'the question',
  configuration: 'the process file',
  cache: 'remembered',
  staleCache: 'remembered, and run out',
  apiServer: 'the API server, just now',
  watch: 'what is watched',
  policy: 'the policy document',
  counters: 'the counters',
});

/** Would this request pass, and why. */
export function createExplain() {
  const asToken = /** @type {HTMLInputElement} */ (
    h('input', { type: 'radio', name: 'caller', id: 'caller-token', value: 'token' })
  );
  const asUser = /** @type {HTMLInputElement} */ (
    h('input', { type: 'radio', name: 'caller', id: 'caller-user', value: 'user', checked: true })
  );
  const token = /** @type {HTMLInputElement} */ (
    h('input', { type: 'password', autocomplete: 'off', spellcheck: 'false', required: true })
  );
  const user = /** @type {HTMLInputElement} */ (
    h('input', { autocomplete: 'off', spellcheck: 'false', required: true })
  );
  const groups = /** @type {HTMLInputElement} */ (h('input', { autocomplete: 'off', spellcheck: 'false' }));
  const method = /** @type {HTMLSelectElement} */ (
    h(
      'select',
      {},
      ['POST', 'GET', 'PUT', 'DELETE', 'OPTIONS'].map((word) => h('option', { value: word }, word)),
    )
  );
  const path = /** @type {HTMLInputElement} */ (
    h('input', {
      required: true,
      spellcheck: 'false',
      autocomplete: 'off',
      value: '/llm/llama/v1/chat/completions',
    })
  );
  const headers = /** @type {HTMLTextAreaElement} */ (h('textarea', { rows: 2, spellcheck: 'false' }));
  const maxTokens = /** @type {HTMLInputElement} */ (
    h('input', { type: 'number', min: '1', step: '1', autocomplete: 'off' })
  );
  const button = /** @type {HTMLButtonElement} */ (
    h('button', { type: 'submit', class: 'primary' }, 'Explain')
  );
  const answer = h('div', { class: 'explanation', 'aria-live': 'polite' });
  const tokenField = field({
    id: 'explain-token',
    label: 'Access token',
    input: token,
    help: 'Goes to this process and the cluster; is kept nowhere.',
  });
  const userFields = h(
    'div',
    { class: 'row' },
    field({ id: 'explain-user', label: 'User', input: user, help: 'As the cluster calls them.' }),
    field({
      id: 'explain-groups',
      label: 'Groups',
      input: groups,
      help: 'With commas between. system:authenticated is in every request of a user of the cluster.',
    }),
  );

  function draw() {
    tokenField.hidden = !asToken.checked;
    userFields.hidden = asToken.checked;
    token.disabled = !asToken.checked;
    user.disabled = asToken.checked;
    groups.disabled = asToken.checked;
  }
  for (const radio of [asToken, asUser]) radio.addEventListener('change', draw);
  draw();

  const form = h(
    'form',
    { class: 'form', autocomplete: 'off' },
    h(
      'fieldset',
      { class: 'choice' },
      h('legend', {}, 'Who asks'),
      asUser,
      h('label', { for: 'caller-user' }, 'user and groups'),
      asToken,
      h('label', { for: 'caller-token' }, 'token'),
    ),
    userFields,
    tokenField,
    h(
      'div',
      { class: 'row' },
      field({ id: 'explain-method', label: 'Method', input: method }),
      field({ id: 'explain-path', label: 'Path', input: path }),
      field({
        id: 'explain-max-tokens',
        label: 'max_tokens',
        input: maxTokens,
        help: 'Where tokens are limited. The prompt counts as empty.',
      }),
    ),
    h(
      'details',
      {},
      h('summary', {}, 'Headers'),
      field({ id: 'explain-headers', label: 'One a line, name: value', input: headers }),
    ),
    button,
  );

  async function explain() {
    button.disabled = true;
    try {
      const caller = asToken.checked
        ? { token: token.value.trim() }
        : { user: user.value.trim(), groups: listOf(groups.value) };
      const explanation = await ask('POST', 'api/explain', {
        ...caller,
        method: method.value,
        path: path.value,
        headers: headersOf(headers.value),
        ...(maxTokens.value !== '' && { metadata: { max_tokens: Number(maxTokens.value) } }),
      });
      show(answer, ...wordsOf(explanation));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      show(answer, h('p', { class: 'alert' }, `Not explained: ${error.message}`));
    } finally {
      button.disabled = false;
    }
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void explain();
  });

  return {
    element: h(
      'div',
      {},
      h('div', { class: 'head' }, h('h1', {}, 'Explain')),
      h(
        'div',
        { class: 'columns top' },
        panel(
          'question',
          'A request',
          h('p', { class: 'hint' }, 'Looked at as Check looks at it, stage by stage, and charged to nobody.'),
          form,
        ),
        panel('verdict', 'What becomes of it', answer),
      ),
    ),
    update: () => {
      if (answer.childNodes.length === 0)
        show(
          answer,
          h(
            'p',
            { class: 'empty' },
            'The verdict, and each stage with where its answer came from, will stand here.',
          ),
        );
    },
  };
}

/** @param {string} text */
function listOf(text) {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** @param {string} text */
function headersOf(text) {
  return Object.fromEntries(
    text
      .split('\n')
      .map((line) => /^\s*([^:\s]+)\s*:\s*(.*?)\s*$/.exec(line))
      .flatMap((found) => (found === null ? [] : [[found[1], found[2]]])),
  );
}

/** @param {any} explanation */
function wordsOf({ verdict, status, reason, message, subject, tier, model, retryAfterMs, stages, windows }) {
  const kind = { allowed: 'ok', denied: 'bad' }[/** @type {'allowed' | 'denied'} */ (verdict)] ?? 'warn';
  const title =
    { allowed: 'It would pass', denied: `It would be denied: ${words(reason ?? '')}` }[
      /** @type {'allowed' | 'denied'} */ (verdict)
    ] ?? 'Nobody can tell from here';
  const about = [
    ['Status', status],
    ['Reason', reason],
    ['Subject', subject],
    ['Tier', tier],
    ['Model', model],
    ['Fits again in', retryAfterMs === undefined ? undefined : duration(retryAfterMs)],
  ].filter(([, value]) => value !== undefined);
  return [
    h(
      'div',
      { class: `banner ${kind}` },
      h('p', { class: 'title' }, title),
      message !== undefined && h('p', {}, message),
    ),
    h(
      'dl',
      { class: 'facts' },
      about.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
    ),
    windows.length > 0 && h('h3', {}, 'Windows'),
    windows.length > 0 && h('ul', { class: 'windows' }, windows.map(windowItem)),
    h('h3', {}, 'Stage by stage'),
    h('ol', { class: 'stages' }, stages.map(stageItem)),
  ];
}

/** @param {any} window */
function windowItem(window) {
  const { limit, remaining, scope, exceeded, needed, line, resetAfterMs } = window;
  const used = remaining === undefined ? undefined : limit - remaining;
  return h(
    'li',
    {},
    used === undefined ? '' : meter(used, limit),
    h(
      'span',
      { class: 'used-words' },
      used === undefined ? limitWords(window) : `${count(used)} of ${limitWords(window)}`,
    ),
    exceeded === true && badge(remaining === 0 ? 'full' : `no room for ${count(needed)}`, 'bad'),
    h(
      'span',
      { class: 'none' },
      `${scope === '*' ? '' : `, ${scope}`}${used !== undefined && used > 0 && resetAfterMs !== undefined ? `, whole again in ${duration(resetAfterMs)}` : ''}${line === undefined ? '' : `, line ${line} of the policy`}`,
    ),
  );
}

/** @param {any} stage */
function stageItem({ stage, verdict, says, source, change }) {
  const [text, kind] = verdictWords[verdict] ?? [verdict, 'plain'];
  return h(
    'li',
    { class: `stage ${verdict}` },
    h('p', { class: 'stage-head' }, h('strong', {}, stageWords[stage] ?? stage), badge(text, kind)),
    says !== '' && h('p', {}, says),
    source !== undefined && h('p', { class: 'none' }, `From ${sourceOf(source)}.`),
    change !== undefined && h('p', { class: 'change' }, change),
  );
}

/** @param {any} source */
function sourceOf({ kind, ageMs, endsInMs, line }) {
  return [
    sourceWords[kind] ?? kind,
    ageMs === undefined ? '' : `, ${duration(ageMs)} old`,
    endsInMs === undefined ? '' : `, for ${duration(endsInMs)} more`,
    line === undefined ? '' : `, line ${line}`,
  ].join('');
}
