import { denialStatus } from './denial.ts';
import { type Header, headerValue, quoted, wholeSeconds } from './header.ts';
import type { Allowed, Denied } from './outcome.ts';
import { rateLimitHeaders } from './rate-limit-headers.ts';

/** Request headers that tell a model who asks, ours and those that MaaS defined: a client's own never get there. */
export const identityHeaders = [
  'x-tiergate-user',
  'x-tiergate-tier',
  'x-tiergate-model',
  'x-tiergate-reservation',
  'x-tiergate-reason',
  'x-maas-username',
  'x-maas-user',
  'x-maas-group',
  'x-maas-tier',
  'x-maas-subscription',
] as const;

const isIdentityHeader: ReadonlySet<string> = new Set(identityHeaders);

/** How the names of such headers begin, those of the future included. */
export const forgedPrefixes = ['x-tiergate-', 'x-maas-'] as const;

/**
 * Whether a request header looks like one of ours. An underscore counts as a hyphen, because servers that hand
 * headers on as CGI variables (RFC 3875 section 4.1.18) make no difference between the two.
 */
export function isForged(name: string): boolean {
  const plain = name.toLowerCase().replaceAll('_', '-');
  return forgedPrefixes.some((prefix) => plain.startsWith(prefix));
}

/** Onto the request that goes to the model, each in place of whatever the client sent by that name. */
export function upstreamHeaders(outcome: Allowed): readonly Header[] {
  return [...subjectHeaders(outcome), ...tierHeaders(outcome), ...reservationHeaders(outcome)];
}

export function subjectHeaders({ subject }: Allowed): readonly Header[] {
  return subject ? [['x-tiergate-user', headerValue(subject)]] : [];
}

/** Those that are the same for everybody in a tier who asks for a model. */
export function tierHeaders({ tier, model }: Allowed): readonly Header[] {
  const headers: Header[] = [];
  if (tier) headers.push(['x-tiergate-tier', headerValue(tier)]);
  if (model !== undefined) headers.push(['x-tiergate-model', headerValue(model.id)]);
  return headers;
}

export function reservationHeaders({ reservation }: Allowed): readonly Header[] {
  return reservation === undefined ? [] : [['x-tiergate-reservation', reservation.id]];
}

export type RemovedHeaders = (outcome: Allowed, forgedHeaders: readonly string[]) => readonly string[];

/**
 * Names to take off the request before it goes on: identity headers that are not overwritten, the client's
 * forgeries, and the headers that carry the access token, which is nothing for a model to see. On public paths
 * the token stays: the issuer behind them reads it. Without forgeries it is always the same array for the same
 * kind of outcome, so that a door may keep what it makes of it.
 */
export function createRemovedHeaders(credentialHeaders: readonly string[]): RemovedHeaders {
  const known = new Map<number, readonly string[]>();
  return (outcome, forgedHeaders) => {
    const { kind, subject, tier, model, reservation } = outcome;
    const key =
      (kind === 'public' ? 1 : 0) +
      (subject ? 2 : 0) +
      (tier ? 4 : 0) +
      (model ? 8 : 0) +
      (reservation ? 16 : 0);
    let names = known.get(key);
    if (names === undefined) {
      const overwritten = new Set(upstreamHeaders(outcome).map(([name]) => name));
      const removed = kind === 'public' ? identityHeaders : [...identityHeaders, ...credentialHeaders];
      names = [...new Set(removed)].filter((name) => !overwritten.has(name));
      known.set(key, names);
    }
    if (forgedHeaders.length === 0) return names;
    return [
      ...names,
      ...forgedHeaders.filter((name) => !isIdentityHeader.has(name) && !names.includes(name)),
    ];
  };
}

export interface DenialAnswer {
  readonly status: number;
  readonly headers: readonly Header[];
  /** JSON in OpenAI's error shape. */
  readonly body: string;
}

/**
 * A denial as an HTTP response.
 *
 * `realm` is that of `WWW-Authenticate` (RFC 6750 section 3): no error code where no token was sent,
 * `invalid_token` where one was. `param` names the field of the request that is at fault, if one is.
 */
export function denialAnswer(denial: Denied, realm: string, param: string | null = null): DenialAnswer {
  const { reason, detail, retryAfterMs, windows } = denial;
  const { http, type, code, retry } = denialStatus[reason];
  const headers: Header[] = [
    ['content-type', 'application/json'],
    ['x-tiergate-reason', reason],
  ];
  if (http === 401) {
    const challenge = `Bearer realm="${quoted(realm)}"`;
    const isMissing = reason === 'credential_missing';
    headers.push(['www-authenticate', isMissing ? challenge : `${challenge}, error="invalid_token"`]);
  }
  if (retry && retryAfterMs !== undefined) {
    headers.push(['retry-after', String(Math.max(1, wholeSeconds(retryAfterMs)))]);
  }
  if (http === 429 && windows !== undefined) headers.push(...rateLimitHeaders(windows));
  return {
    status: http,
    headers,
    body: JSON.stringify({ error: { message: detail, type, param, code, reason } }),
  };
}
