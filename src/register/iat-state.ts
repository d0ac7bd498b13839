import type { Secret } from '../secret.ts';
import { decodeIat, type IatClaims, iatType } from './iat-token.ts';
import type { TokenRefusal } from './registration.ts';

/** One identity provider's realm, and the terms on which it gives out Initial Access Tokens. */
export interface Instance {
  /** What people call it, as a rule its host name. */
  readonly name: string;
  readonly environment: 'prod' | 'stage';
  /** URL of the realm, without a slash at its end. */
  readonly issuer: string;
  /** How long its tokens are meant to live, in ms. */
  readonly lifeMs: number;
  /** How many clients may be registered with one of them. */
  readonly clients: number;
}

/**
 * Why no client can be registered.
 *
 * - `missing`: nothing is stored; `unreadable`: the store can't tell; `malformed`: what is stored is no token
 * - `wrong_type`, `wrong_issuer`: a token, but not an Initial Access Token, or not this realm's
 * - `expired`, `exhausted`, `revoked`: its life is over
 * - `rejected`: the realm refuses it for none of these reasons (its signing key is gone, or it is forged)
 */
export type IatProblem =
  | 'missing'
  | 'unreadable'
  | 'malformed'
  | 'wrong_type'
  | 'wrong_issuer'
  | 'expired'
  | 'exhausted'
  | 'revoked'
  | 'rejected';

export interface IatState {
  readonly problem: IatProblem | undefined;
  /** One clause for people; undefined without a problem. */
  readonly detail: string | undefined;
  /** The token as it stands, if one could be read. */
  readonly token: Secret | undefined;
  readonly claims: IatClaims | undefined;
  /** How many more clients it allows; undefined: nobody counts. */
  readonly remaining: number | undefined;
  /** `admin`: the realm's own count. `ledger`: ours, which does not see registrations by others. */
  readonly remainingSource: 'admin' | 'ledger' | undefined;
  /** False: the realm could not be asked whether it takes the token. */
  readonly isProbed: boolean;
  /** Id of the previous token, while the realm still lists it. */
  readonly revocableId: string | undefined;
}

export interface IatComplaint {
  readonly problem: IatProblem;
  readonly detail: string;
}

/** What the token says of itself: enough to tell apart what the realm answers all alike. */
export function complaintAbout(token: Secret, instance: Instance, nowMs: number): IatComplaint | undefined {
  const claims = decodeIat(token);
  if (claims === undefined) return { problem: 'malformed', detail: 'what is stored is not a token' };
  if (claims.type !== iatType) {
    const type = claims.type === undefined ? 'without a type' : `of type ${quoted(claims.type)}`;
    return { problem: 'wrong_type', detail: `it is a token ${type}, not an ${iatType}` };
  }
  if (claims.issuer !== instance.issuer) {
    const issuer = claims.issuer === undefined ? 'no realm' : quoted(claims.issuer);
    return { problem: 'wrong_issuer', detail: `it is for ${issuer}, not for ${instance.issuer}` };
  }
  if (claims.expiresAtMs !== undefined && claims.expiresAtMs <= nowMs)
    return { problem: 'expired', detail: `it expired at ${new Date(claims.expiresAtMs).toISOString()}` };
  return undefined;
}

/**
 * The realm's refusal in the light of our own count: minutes after a token is used up the realm forgets it,
 * and then calls it unknown like one that was revoked.
 */
export function complaintFrom(refusal: TokenRefusal, isUsedUp: boolean): IatComplaint {
  if (refusal === 'exhausted' || (refusal === 'unknown' && isUsedUp))
    return { problem: 'exhausted', detail: 'all its registrations are used up' };
  if (refusal === 'unknown')
    return { problem: 'revoked', detail: 'the realm does not know it any more: it was revoked' };
  return {
    problem: 'rejected',
    detail:
      'the realm refuses it though it is not expired: its signing key is gone, or the token is not genuine',
  };
}

export type IatUrgency = 'fine' | 'soon' | 'urgent' | 'stopped';

const dayMs = 86_400_000;
const soonMs = { prod: 7 * dayMs, stage: 14 * dayMs } as const;
const urgentMs = 2 * dayMs;
const soonRemaining = 10;
const urgentRemaining = 2;

/**
 * How soon somebody must act; deploy/alerts/registrar.yaml draws the same lines.
 * `stopped`: no client can be registered now.
 */
export function urgencyOf(
  state: IatState,
  instance: Instance,
  plannedCreates: number,
  nowMs: number,
): IatUrgency {
  if (state.problem !== undefined) return 'stopped';
  const leftMs = (state.claims?.expiresAtMs ?? Number.POSITIVE_INFINITY) - nowMs;
  const left = state.remaining ?? Number.POSITIVE_INFINITY;
  if (leftMs <= urgentMs || left <= urgentRemaining || left < plannedCreates) return 'urgent';
  if (leftMs <= soonMs[instance.environment] || left <= soonRemaining) return 'soon';
  return 'fine';
}

/** How bad it is when SSO profiles can't be created: the word that tickets and alerts use. */
export const severityOf = { prod: 'High', stage: 'Medium' } as const;

/** Claims come from outside: no control characters into a terminal, no token-sized text into a log. */
function quoted(claim: string): string {
  return JSON.stringify(claim.slice(0, 200));
}
