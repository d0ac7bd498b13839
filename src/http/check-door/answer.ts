import {
  createRemovedHeaders,
  denialAnswer,
  reservationHeaders,
  subjectHeaders,
  tierHeaders,
} from '../../check/answer.ts';
import { createByTier } from '../../check/by-tier.ts';
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

  /** Who asks: to the model, and to whoever is told of the request's end. */
  function subjectLines(outcome: Allowed): string {
    const lines = sayAll(['x-tiergate-user'], subjectHeaders(outcome));
    return profile.tellsEnds ? lines + knownSubject(outcome) : lines;
  }

  const tierLines = createByTier((outcome) => {
    const lines = sayAll(['x-tiergate-tier', 'x-tiergate-model'], tierHeaders(outcome));
    return profile.tellsEnds ? lines + knownTier(outcome) : lines;
  });

  /** Where the proxy does not take headers off, those of these names that are not said are said empty: else the client's stay. */
  function sayAll(names: readonly string[], headers: readonly Header[]): string {
    let lines = linesOf(headers);
    if (profile.removesHeaders || headers.length === names.length) return lines;
    for (const name of names) if (!headers.some(([said]) => said === name)) lines += headerLine(name, '');
    return lines;
  }

  function allow(outcome: Allowed, forgedHeaders: readonly string[]): Answer {
    const { windows, slotId, reservation } = outcome;
    let headers = `content-length: 0\r\n${subjectLines(outcome)}${tierLines(outcome)}`;
    headers += sayAll(['x-tiergate-reservation'], reservationHeaders(outcome));
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
    if (profile.tellsEnds)
      headers += knownSubject(outcome) + knownTier(outcome) + headerLine('reason', outcome.reason);
    if (!profile.deniesInHeaders) {
      return { status, headers: headers + headerLine('content-length', String(body.length)), body };
    }
    headers += headerLine('x-tiergate-status', String(denial.status));
    headers += headerLine('x-tiergate-body', body);
    return { status, headers: `${headers}content-length: 0\r\n`, body: '' };
  }

  return (outcome, forgedHeaders) => (outcome.denied ? deny(outcome) : allow(outcome, forgedHeaders));
}

function linesOf(headers: readonly Header[]): string {
  let lines = '';
  for (const [name, value] of headers) lines += headerLine(name, value);
  return lines;
}

function knownSubject({ subject }: Outcome): string {
  return subject ? headerLine('user', headerValue(subject)) : '';
}

function knownTier({ tier, model }: Outcome): string {
  const line = tier ? headerLine('tier', headerValue(tier)) : '';
  return model === undefined ? line : line + headerLine('model', headerValue(model.id));
}

/** JSON, the same in fewer characters: one is one byte then, and may stand in a header. */
function ascii(json: string): string {
  return json.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
