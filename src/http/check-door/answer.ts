import { callerHeaders, createRemovedHeaders, denialAnswer, reservationHeaders } from '../../check/answer.ts';
import { createByCaller } from '../../check/by-caller.ts';
import { type Header, headerValue } from '../../check/header.ts';
import type { Allowed, Outcome, Refused } from '../../check/outcome.ts';
import { rateLimitHeaders } from '../../check/rate-limit-headers.ts';
import { type Answer, headerLine } from '../http1/answer.ts';
import type { CheckDoorProfile } from './profile.ts';

export interface CheckAnswerOptions {
  readonly profile: CheckDoorProfile;
  /** Lower-case names of the headers that carry access tokens: taken off the request, except on public paths. */
  readonly credentialHeaders: readonly string[];
  /** The realm that `WWW-Authenticate` names. */
  readonly realm: string;
}

/**
 * Outcome → HTTP response, as the profile's proxy understands it. `forgedHeaders` are the request's. Allowed is 200
 * with the headers for the model, those for the client and, where the proxy makes metadata of headers, `user`,
 * `tier`, `model`, `reason`, `slot_id`, `reservation_id` and `reserved_tokens`, by the names that dynamic metadata has through
 * the gRPC door. Throws TypeError where a header can not hold what it should.
 */
export type AnswerCheck = (outcome: Outcome, forgedHeaders: readonly string[]) => Answer;

export function createAnswerCheck(options: CheckAnswerOptions): AnswerCheck {
  const { profile, credentialHeaders, realm } = options;
  const removedHeaders = createRemovedHeaders(credentialHeaders);
  /** Without forgeries the same few arrays come again and again. */
  const removalLines = new WeakMap<readonly string[], string>();

  function removals(outcome: Allowed, forgedHeaders: readonly string[]): string {
    const names = removedHeaders(outcome, forgedHeaders);
    let line = removalLines.get(names);
    if (line === undefined) {
      line = headerLine('x-envoy-auth-headers-to-remove', names.join(','));
      if (forgedHeaders.length === 0) removalLines.set(names, line);
    }
    return line;
  }

  const linesOfCaller = createByCaller((outcome) => {
    const said = callerHeaders(outcome);
    let lines = `content-length: 0\r\n${linesOf(said)}`;
    if (!profile.removesHeaders) {
      // Empty: what is not said at all some proxies leave as the client sent it.
      for (const name of callerNames)
        if (!said.some(([other]) => other === name)) lines += headerLine(name, '');
    }
    return profile.tellsEnds ? lines + knownLines(outcome) : lines;
  });

  function allow(outcome: Allowed, forgedHeaders: readonly string[]): Answer {
    const { windows, slotId, reservation } = outcome;
    let headers = linesOfCaller(outcome);
    if (reservation !== undefined) headers += linesOf(reservationHeaders(outcome));
    else if (!profile.removesHeaders) headers += headerLine(reservationHeader, '');
    if (profile.removesHeaders) headers += removals(outcome, forgedHeaders);
    headers += linesOf(rateLimitHeaders(windows));
    if (profile.tellsEnds) {
      if (slotId !== undefined) headers += headerLine('slot_id', slotId);
      if (reservation !== undefined) {
        headers += headerLine('reservation_id', reservation.id);
        headers += headerLine('reserved_tokens', String(reservation.tokens));
      }
    }
    return { status: 200, headers, body: '' };
  }

  function deny(outcome: Refused): Answer {
    const denial = denialAnswer(outcome, realm);
    const status = profile.statusOf?.(denial.status) ?? denial.status;
    const body = ascii(denial.body);
    let headers = linesOf(denial.headers);
    if (profile.tellsEnds) headers += knownLines(outcome) + headerLine('reason', outcome.reason);
    if (!profile.deniesInHeaders) {
      return { status, headers: headers + headerLine('content-length', String(body.length)), body };
    }
    headers += headerLine('x-tiergate-status', String(denial.status));
    headers += headerLine('x-tiergate-body', body);
    return { status, headers: `${headers}content-length: 0\r\n`, body: '' };
  }

  return (outcome, forgedHeaders) => (outcome.denied ? deny(outcome) : allow(outcome, forgedHeaders));
}

/** All that callerHeaders and reservationHeaders may say. */
const callerNames = ['x-tiergate-user', 'x-tiergate-tier', 'x-tiergate-model'];
const reservationHeader = 'x-tiergate-reservation';

function linesOf(headers: readonly Header[]): string {
  let lines = '';
  for (const [name, value] of headers) lines += headerLine(name, value);
  return lines;
}

function knownLines({ subject, tier, model }: Outcome): string {
  let lines = '';
  if (subject) lines += headerLine('user', headerValue(subject));
  if (tier) lines += headerLine('tier', headerValue(tier));
  if (model !== undefined) lines += headerLine('model', headerValue(model.id));
  return lines;
}

/** JSON, the same in fewer characters: one is one byte then, and may stand in a header. */
function ascii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
