import { callerHeaders, createRemovedHeaders, denialAnswer, reservationHeaders } from '../../check/answer.ts';
import { createByCaller } from '../../check/by-caller.ts';
import { type Header, headerValue } from '../../check/header.ts';
import type { Allowed, Outcome, Refused } from '../../check/outcome.ts';
import { rateLimitHeaders } from '../../check/rate-limit-headers.ts';
import type { CheckDoorProfile } from './profile.ts';

export interface CheckAnswerOptions {
  readonly profile: CheckDoorProfile;
  /** Lower-case names of the headers that carry access tokens: taken off the request, except on public paths. */
  readonly credentialHeaders: readonly string[];
  /** The realm that `WWW-Authenticate` names. */
  readonly realm: string;
}

/** An HTTP response, ready for `writeHead` and `end`. */
export interface CheckAnswer {
  readonly status: number;
  /** Names and values by turns; no copy is made of them on their way out. */
  readonly headers: string[];
  /** ASCII. */
  readonly body: string;
}

/**
 * Outcome → HTTP response, as the profile's proxy understands it. `forgedHeaders` are the request's. Allowed is 200
 * with the headers for the model, those for the client and, where the proxy makes metadata of headers, `user`,
 * `tier`, `model`, `reason`, `slot_id`, `reservation_id` and `reserved_tokens`, by the names that dynamic metadata has through
 * the gRPC door.
 */
export type AnswerCheck = (outcome: Outcome, forgedHeaders: readonly string[]) => CheckAnswer;

export function createAnswerCheck(options: CheckAnswerOptions): AnswerCheck {
  const { profile, credentialHeaders, realm } = options;
  const removedHeaders = createRemovedHeaders(credentialHeaders);
  /** Without forgeries the same few arrays come again and again. */
  const joined = new WeakMap<readonly string[], string>();

  function removals(outcome: Allowed, forgedHeaders: readonly string[]): string {
    const names = removedHeaders(outcome, forgedHeaders);
    let list = joined.get(names);
    if (list === undefined) {
      list = names.join(',');
      if (forgedHeaders.length === 0) joined.set(names, list);
    }
    return list;
  }

  const headersOfCaller = createByCaller<readonly string[]>((outcome) => {
    const headers = ['content-length', '0'];
    const said = callerHeaders(outcome);
    push(headers, said);
    if (!profile.removesHeaders) {
      // Empty: what is not said at all some proxies leave as the client sent it.
      for (const name of callerNames) if (!said.some(([other]) => other === name)) headers.push(name, '');
    }
    if (profile.tellsEnds) pushKnown(headers, outcome);
    return headers;
  });

  function allow(outcome: Allowed, forgedHeaders: readonly string[]): CheckAnswer {
    const { windows, slotId, reservation } = outcome;
    const headers = [...headersOfCaller(outcome)];
    push(headers, reservationHeaders(outcome));
    if (profile.removesHeaders) {
      headers.push('x-envoy-auth-headers-to-remove', removals(outcome, forgedHeaders));
    } else if (reservation === undefined) {
      headers.push(reservationHeader, '');
    }
    push(headers, rateLimitHeaders(windows));
    if (profile.tellsEnds) {
      if (slotId !== undefined) headers.push('slot_id', slotId);
      if (reservation !== undefined) {
        headers.push('reservation_id', reservation.id, 'reserved_tokens', String(reservation.tokens));
      }
    }
    return { status: 200, headers, body: '' };
  }

  function deny(outcome: Refused): CheckAnswer {
    const denial = denialAnswer(outcome, realm);
    const status = profile.statusOf?.(denial.status) ?? denial.status;
    const body = ascii(denial.body);
    const headers: string[] = [];
    push(headers, denial.headers);
    if (profile.tellsEnds) {
      pushKnown(headers, outcome);
      headers.push('reason', outcome.reason);
    }
    if (!profile.deniesInHeaders) {
      headers.push('content-length', String(body.length));
      return { status, headers, body };
    }
    headers.push('x-tiergate-status', String(denial.status), 'x-tiergate-body', body, 'content-length', '0');
    return { status, headers, body: '' };
  }

  return (outcome, forgedHeaders) => (outcome.denied ? deny(outcome) : allow(outcome, forgedHeaders));
}

/** All that callerHeaders and reservationHeaders may say. */
const callerNames = ['x-tiergate-user', 'x-tiergate-tier', 'x-tiergate-model'];
const reservationHeader = 'x-tiergate-reservation';

function push(headers: string[], more: readonly Header[]): void {
  for (const [name, value] of more) headers.push(name, value);
}

function pushKnown(headers: string[], { subject, tier, model }: Outcome): void {
  if (subject) headers.push('user', headerValue(subject));
  if (tier) headers.push('tier', headerValue(tier));
  if (model !== undefined) headers.push('model', headerValue(model.id));
}

/** JSON, the same in fewer characters: one is one byte then, and may stand in a header. */
function ascii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
