import { currentSession, logIn, logOut, Refused } from './api.js';
import { createDenials } from './denials.js';
import { byId, h, show } from './dom.js';
import { createExplain } from './explain.js';
import { createHealth } from './health.js';
import { createLive } from './live.js';
import { createOverview } from './overview.js';
import { createPolicy } from './policy.js';
import { createSimulate } from './simulate.js';
import { createUsage } from './usage.js';

/** @typedef {{ readonly element: HTMLElement, readonly update: (live: import('./live.js').Live) => void }} View */
/** @typedef {import('./api.js').Session} Session */

const door = byId('door', HTMLElement);
const bar = byId('bar', HTMLElement);
const frame = byId('frame', HTMLElement);
const place = byId('view', HTMLElement);
const trouble = byId('trouble', HTMLElement);
const tokenInput = byId('token', HTMLInputElement);

/** @type {readonly { readonly id: string, readonly title: string, readonly needs?: string, readonly create: (session: Session) => View }[]} */
const views = [
  { id: 'overview', title: 'Overview', create: () => createOverview() },
  { id: 'denials', title: 'Denials', create: () => createDenials({ say }) },
  { id: 'usage', title: 'Usage', create: ({ mayChange }) => createUsage({ mayChange }) },
  { id: 'policy', title: 'Policy', create: () => createPolicy() },
  { id: 'health', title: 'Health', create: () => createHealth() },
  { id: 'explain', title: 'Explain', needs: '/api/explain', create: () => createExplain() },
  { id: 'simulate', title: 'Simulate', needs: '/api/simulate', create: () => createSimulate() },
];

/** @type {Session | undefined} */
let session;
/** Each view is made once and keeps what was typed into it. @type {Map<string, View>} */
let made = new Map();

const live = createLive({
  onNews(news) {
    setState(news.report.status === 'ready' ? 'ok' : 'warn', stateWords(news.report));
    trouble.hidden = true;
    currentView()?.update(news);
  },
  onFault(fault) {
    if (fault.status === 401) {
      leave('Your session has ended. Log in again.');
      return;
    }
    setState('bad', fault.status === 0 ? 'no answer' : 'refused');
    show(trouble, `${fault.message} What is shown is how it stood before.`);
    trouble.hidden = false;
  },
});

/** @param {string} words */
function say(words) {
  show(byId('said', HTMLElement), words);
}

/** @param {'ok' | 'warn' | 'bad'} state @param {string} words */
function setState(state, words) {
  byId('state', HTMLElement).dataset['state'] = state;
  show(byId('state-words', HTMLElement), words);
}

/** @param {any} report */
function stateWords({ status, parts }) {
  const degraded = Object.values(parts ?? {}).filter(({ state }) => state === 'degraded').length;
  return degraded === 0 ? status : `${status}, ${degraded} degraded`;
}

function currentId() {
  const id = location.hash.slice(1);
  return offered().some((view) => view.id === id) ? id : 'overview';
}

function offered() {
  return views.filter(({ needs }) => needs === undefined || session?.routes.includes(needs));
}

/** @returns {View | undefined} */
function currentView() {
  if (session === undefined) return undefined;
  const id = currentId();
  const known = made.get(id);
  if (known !== undefined) return known;
  const view = views.find((each) => each.id === id)?.create(session);
  if (view !== undefined) made.set(id, view);
  return view;
}

function drawView() {
  const id = currentId();
  const view = currentView();
  if (view === undefined) return;
  show(
    byId('views', HTMLElement),
    ...offered().map((each) =>
      h(
        'li',
        {},
        h('a', { href: `#${each.id}`, 'aria-current': each.id === id ? 'page' : undefined }, each.title),
      ),
    ),
  );
  document.title = `${views.find((each) => each.id === id)?.title} – tiergate console`;
  place.replaceChildren(view.element);
  const news = live.now();
  if (news !== undefined) view.update(news);
}

/** @param {Session} opened */
function enter(opened) {
  session = opened;
  made = new Map();
  door.hidden = true;
  bar.hidden = false;
  frame.hidden = false;
  show(byId('instance', HTMLElement), opened.instance);
  const oneOf = byId('one-of', HTMLElement);
  oneOf.hidden = opened.workers === undefined;
  show(
    oneOf,
    `This is worker 1 of ${opened.workers}: counters, denials and caches here are its own. The metrics have the sums of all; windows are everybody's.`,
  );
  show(byId('user', HTMLElement), opened.user);
  show(byId('right', HTMLElement), opened.mayChange ? 'may change' : 'may look');
  drawView();
  live.start();
}

/** @param {string} [words] */
function leave(words) {
  live.stop();
  session = undefined;
  made = new Map();
  place.replaceChildren();
  bar.hidden = true;
  frame.hidden = true;
  door.hidden = false;
  document.title = 'tiergate console';
  show(byId('token-fault', HTMLElement), words ?? '');
  tokenInput.focus();
}

byId('log-in', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  void tryToken();
});

async function tryToken() {
  const button = byId('log-in-button', HTMLButtonElement);
  const fault = byId('token-fault', HTMLElement);
  const token = tokenInput.value.trim();
  tokenInput.removeAttribute('aria-invalid');
  show(fault, token === '' ? 'Paste a token first.' : '');
  if (token === '') {
    tokenInput.focus();
    return;
  }
  button.disabled = true;
  try {
    const opened = await logIn(token);
    tokenInput.value = '';
    enter(opened);
    byId('main', HTMLElement).focus();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    tokenInput.setAttribute('aria-invalid', 'true');
    show(fault, error.message);
    tokenInput.focus();
  } finally {
    button.disabled = false;
  }
}

byId('log-out', HTMLButtonElement).addEventListener('click', () => {
  void logOut()
    .catch(() => undefined)
    .then(() => leave());
});

addEventListener('hashchange', () => {
  if (session === undefined) return;
  drawView();
  byId('main', HTMLElement).focus({ preventScroll: true });
  scrollTo(0, 0);
});

try {
  const known = await currentSession();
  if (known === undefined) leave();
  else enter(known);
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  leave(error.message);
}
