import type { WindowLimit, WindowUnit } from '../policy/policy.ts';
import { type Header, quoted, wholeNumber, wholeSeconds } from './header.ts';
import type { WindowState } from './limit.ts';

/**
 * Windows → what a client is told of them, on success and on denial:
 * `RateLimit-Policy` and `RateLimit` with every window (draft-ietf-httpapi-ratelimit-headers), and
 * `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` as OpenAI has them, with the binding window of each
 * kind. Shadow windows deny nobody, and are not told. Tokens of the request at hand are not in it yet: headers
 * leave before usage is known.
 */
export function rateLimitHeaders(windows: readonly WindowState[]): readonly Header[] {
  let policy = '';
  let standing = '';
  let requests: WindowState | undefined;
  let tokens: WindowState | undefined;
  for (const state of windows) {
    const { window, remaining, resetAfterMs } = state;
    if (window.mode !== 'enforce') continue;
    const text = textOf(window);
    const before = policy === '' ? '' : ', ';
    policy += `${before}${text.policy}`;
    standing += `${before}${text.name};r=${wholeNumber(remaining)};t=${wholeSeconds(resetAfterMs)}`;
    if (window.unit === 'requests') requests = soonerBinding(requests, state);
    else tokens = soonerBinding(tokens, state);
  }
  if (policy === '') return none;
  const headers: Header[] = [
    ['ratelimit-policy', policy],
    ['ratelimit', standing],
  ];
  if (requests !== undefined) pushOpenAi(headers, openAiNames.requests, requests);
  if (tokens !== undefined) pushOpenAi(headers, openAiNames.tokens, tokens);
  return headers;
}

const none: readonly Header[] = [];

/**
 * The window that a client runs into first: that with the least left as a share of its limit; among equals
 * that which takes longest to be whole again.
 */
export function bindingWindow(windows: readonly WindowState[]): WindowState | undefined {
  let binding: WindowState | undefined;
  for (const state of windows) binding = soonerBinding(binding, state);
  return binding;
}

function soonerBinding(binding: WindowState | undefined, state: WindowState): WindowState {
  if (binding === undefined) return state;
  const [one, other] = [share(binding), share(state)];
  if (other < one) return state;
  return other === one && state.resetAfterMs > binding.resetAfterMs ? state : binding;
}

/** A window's name for people and headers: `requests-2m`, `input-tokens-1d`, `tokens-1m-llm/big-*`. */
export function windowName({ unit, windowMs, scope }: WindowLimit): string {
  return `${unitWord[unit]}-${shortDuration(windowMs)}${scope === '*' ? '' : `-${scope}`}`;
}

const unitWord = {
  requests: 'requests',
  tokens: 'tokens',
  inputTokens: 'input-tokens',
  outputTokens: 'output-tokens',
} as const satisfies Readonly<Record<WindowUnit, string>>;

function share({ window, remaining }: WindowState): number {
  return wholeNumber(remaining) / window.limit;
}

interface WindowText {
  readonly name: string;
  readonly policy: string;
  readonly limit: string;
}

/** What never changes of a window, as text: made once for each window of a policy. */
const textByWindow = new WeakMap<WindowLimit, WindowText>();

function textOf(window: WindowLimit): WindowText {
  let text = textByWindow.get(window);
  if (text === undefined) {
    const name = `"${quoted(windowName(window))}"`;
    const limit = String(wholeNumber(window.limit));
    text = { name, limit, policy: `${name};q=${limit};w=${wholeSeconds(window.windowMs)}` };
    textByWindow.set(window, text);
  }
  return text;
}

/** What OpenAI's headers tell apart; input and output tokens are both tokens to its clients. */
const openAiNames = {
  requests: {
    limit: 'x-ratelimit-limit-requests',
    remaining: 'x-ratelimit-remaining-requests',
    reset: 'x-ratelimit-reset-requests',
  },
  tokens: {
    limit: 'x-ratelimit-limit-tokens',
    remaining: 'x-ratelimit-remaining-tokens',
    reset: 'x-ratelimit-reset-tokens',
  },
} as const;

type OpenAiNames = (typeof openAiNames)[keyof typeof openAiNames];

function pushOpenAi(headers: Header[], names: OpenAiNames, binding: WindowState): void {
  headers.push(
    [names.limit, textOf(binding.window).limit],
    [names.remaining, String(wholeNumber(binding.remaining))],
    [names.reset, clockDuration(wholeSeconds(binding.resetAfterMs))],
  );
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** As a policy document writes it: in the greatest unit that leaves no rest. */
function shortDuration(durationMs: number): string {
  const [letter, unitMs] = units.find(([, ms]) => durationMs % ms === 0) ?? ['ms', 1];
  return `${durationMs / unitMs}${letter}`;
}

/** As OpenAI writes it: `0s`, `42s`, `6m0s`, `23h59m1s`. */
function clockDuration(seconds: number): string {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${seconds % 60}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}
