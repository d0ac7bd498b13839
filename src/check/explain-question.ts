import { createSecret, type Secret } from '../secret.ts';

/** Whose request it would be. */
export type ExplainedCaller =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'token'; readonly token: Secret }
  /**
   * Somebody by name. A person is looked at as the bearer of the access token that the issuer would give them; a
   * ServiceAccount (`system:serviceaccount:…`) as itself.
   */
  | { readonly kind: 'user'; readonly user: string; readonly groups: readonly string[] };

export interface ExplainQuestion {
  readonly caller: ExplainedCaller;
  readonly method: string;
  /** With its query, as it is sent. */
  readonly path: string;
  /** Lower-case names. None of them may carry a token: that is the caller's. */
  readonly headers: ReadonlyMap<string, string>;
  /** What the route's configuration says in Envoy (`context_extensions`). */
  readonly context: ReadonlyMap<string, string>;
  /** Namespace `tiergate` of Envoy's dynamic metadata. */
  readonly metadata: ReadonlyMap<string, string | number | boolean>;
  /** Length of the body. */
  readonly bodyBytes: number;
}

const knownKeys = [
  'token',
  'user',
  'groups',
  'method',
  'path',
  'headers',
  'context',
  'metadata',
  'bodyBytes',
] as const;

/**
 * `{token? | user, groups?, method?, path, headers?, context?, metadata?, bodyBytes?}` → a question; in words what is wrong
 * with it, where it is none. A body that nothing is said of is empty. No words repeat a value: it may be a token in the wrong place.
 */
export function readExplainQuestion(body: unknown): ExplainQuestion | string {
  if (!isRecord(body)) return 'the question must be a JSON object';
  const unknown = Object.keys(body).find((key) => !(knownKeys as readonly string[]).includes(key));
  if (unknown !== undefined) return `${unknown} is not a known key: there are ${knownKeys.join(', ')}`;
  const { method = 'POST', path } = body;
  if (typeof method !== 'string' || !/^[A-Z]+$/.test(method)) return 'method must be a method such as POST';
  if (typeof path !== 'string' || path === '') return 'path must be the path of the request';
  const caller = callerOf(body);
  if (typeof caller === 'string') return caller;
  const headers = textsOf('headers', body['headers'], (name) => name.toLowerCase());
  if (typeof headers === 'string') return headers;
  const context = textsOf('context', body['context']);
  if (typeof context === 'string') return context;
  const metadata = scalarsOf('metadata', body['metadata']);
  if (typeof metadata === 'string') return metadata;
  const { bodyBytes = 0 } = body;
  if (typeof bodyBytes !== 'number' || !Number.isSafeInteger(bodyBytes) || bodyBytes < 0) {
    return 'bodyBytes must be the length of the body, a whole number of bytes';
  }
  return { caller, method, path, headers, context, metadata, bodyBytes };
}

function callerOf({ token, user, groups }: Readonly<Record<string, unknown>>): ExplainedCaller | string {
  if (token !== undefined && (user !== undefined || groups !== undefined)) {
    return 'give either a token, or a user with groups';
  }
  if (token !== undefined) {
    if (typeof token !== 'string' || token === '') return 'token must be the text of a token';
    return { kind: 'token', token: createSecret(token) };
  }
  if (user === undefined) return groups === undefined ? { kind: 'nobody' } : 'groups need a user';
  if (typeof user !== 'string' || user === '') return 'user must be the name of a user';
  const list = groups ?? [];
  if (!Array.isArray(list) || !list.every((group) => typeof group === 'string')) {
    return 'groups must be a list of names';
  }
  return { kind: 'user', user, groups: list };
}

function textsOf(
  key: string,
  value: unknown,
  nameOf = (name: string) => name,
): ReadonlyMap<string, string> | string {
  if (value === undefined) return new Map();
  if (!isRecord(value)) return `${key} must be an object of texts`;
  const texts = new Map<string, string>();
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') return `${key}.${name} must be a text`;
    texts.set(nameOf(name), text);
  }
  return texts;
}

function scalarsOf(key: string, value: unknown): ReadonlyMap<string, string | number | boolean> | string {
  if (value === undefined) return new Map();
  if (!isRecord(value)) return `${key} must be an object of texts, numbers and booleans`;
  const scalars = new Map<string, string | number | boolean>();
  for (const [name, scalar] of Object.entries(value)) {
    if (typeof scalar !== 'string' && typeof scalar !== 'number' && typeof scalar !== 'boolean') {
      return `${key}.${name} must be a text, a number or a boolean`;
    }
    scalars.set(name, scalar);
  }
  return scalars;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
