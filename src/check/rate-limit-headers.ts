import type { WindowLimit, WindowUnit } from '../policy/policy.ts';
import { type Header, quoted, wholeNumber, wholeSeconds } from './header.ts';
import type { WindowState } from './limit.ts';

/** What OpenAI's headers tell apart; input and output tokens are both tokens to its clients. */
type Kind = 'requests' | 'tokens';

/**
 * Windows → what a client is told of them, on success and on denial:
 * `RateLimit-Policy` and `RateLimit` with every window (draft-ietf-httpapi-ratelimit-headers), and
 * `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` as OpenAI has them, with the binding window of each
 * kind. Shadow windows deny nobody, and are not told. Tokens of the request at hand are not in it yet: headers
 * leave before usage is known.
 */
export function rateLimitHeaders(windows: readonly WindowState[]): readonly Header[] {
  const enforced = windows.filter(({ window }) => window.mode === 'enforce');
  if (enforced.length === 0) return [];
  const headers: Header[] = [
    ['ratelimit-policy', enforced.map(({ window }) => policyOf(window)).join(', ')],
    ['ratelimit', enforced.map(standing).join(', ')],
  ];
  pushOpenAi(headers, 'requests', enforced);
  pushOpenAi(headers, 'tokens', enforced);
  return headers;
}

/**
 * The window that a client runs into first: that with the least left as a share of its limit; among equals
 * that which takes longest to be whole again.
 */
export function bindingWindow(windows: readonly WindowState[]): WindowState | undefined {
  let binding: WindowState | undefined;
  for (const state of windows) {
    if (binding === undefined || share(state) < share(binding)) binding = state;
    else if (share(state) === share(binding) && state.resetAfterMs > binding.resetAfterMs) binding = state;
  }
  return binding;
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

/** What never changes of a window, as text: made once for each window of a policy. */
const textByWindow = new WeakMap<WindowLimit, { readonly name: string; readonly policy: string }>();

function textOf(window: WindowLimit) {
  let text = textByWindow.get(window);
  if (text === undefined) {
    const name = `"${quoted(windowName(window))}"`;
    text = { name, policy: `${name};q=${wholeNumber(window.limit)};w=${wholeSeconds(window.windowMs)}` };
    textByWindow.set(window, text);
  }
  return text;
}

const policyOf = (window: WindowLimit) => textOf(window).policy;

function standing({ window, remaining, resetAfterMs }: WindowState): string {
  return `${textOf(window).name};r=${wholeNumber(remaining)};t=${wholeSeconds(resetAfterMs)}`;
}

function pushOpenAi(headers: Header[], kind: Kind, windows: readonly WindowState[]): void {
  const binding = bindingWindow(
    windows.filter(({ window }) => (window.unit === 'requests') === (kind === 'requests')),
  );
  if (binding === undefined) return;
  headers.push(
    [`x-ratelimit-limit-${kind}`, String(wholeNumber(binding.window.limit))],
    [`x-ratelimit-remaining-${kind}`, String(wholeNumber(binding.remaining))],
    [`x-ratelimit-reset-${kind}`, clockDuration(wholeSeconds(binding.resetAfterMs))],
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
