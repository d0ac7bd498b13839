import type { Secret } from '../secret.ts';
import { complaintAbout, type Instance } from './iat-state.ts';
import { decodeIat, type IatClaims } from './iat-token.ts';

export interface AcceptanceInput {
  readonly token: Secret;
  /** Claims of the token that is stored now, if any could be read. */
  readonly current: IatClaims | undefined;
  readonly instance: Instance;
  /** An operator's word that a shorter life is what they want. */
  readonly acceptShorter: boolean;
  readonly nowMs: number;
}

/** Clocks and rounding: a token may live this much shorter than agreed and still be the one asked for. */
const lifeTolerance = 0.01;

/** Why a new Initial Access Token must not replace the stored one, as a sentence; undefined: it may. */
export function refusalOf(input: AcceptanceInput): string | undefined {
  const { token, current, instance, nowMs } = input;
  const complaint = complaintAbout(token, instance, nowMs);
  if (complaint?.problem === 'malformed') return 'The text on standard input is not a token.';
  if (complaint !== undefined) return `The token is refused: ${complaint.detail}.`;
  const claims = decodeIat(token);
  if (claims?.id === undefined) return 'The token is refused: it has no id (jti).';
  if (claims.id === current?.id) return 'The token is refused: it is the one that is stored already.';
  if (input.acceptShorter) return undefined;
  return endsTooEarly(claims, current, nowMs) ?? livesTooShort(claims, instance);
}

/** A token that ends before the one it replaces makes things worse, whatever it was asked for. */
function endsTooEarly(claims: IatClaims, current: IatClaims | undefined, nowMs: number): string | undefined {
  if (current === undefined || claims.expiresAtMs === undefined) return undefined;
  const currentEnd = current.expiresAtMs;
  if (currentEnd !== undefined && (currentEnd <= nowMs || claims.expiresAtMs >= currentEnd)) return undefined;
  const end = currentEnd === undefined ? 'never does' : `does at ${dateOf(currentEnd)}`;
  return `The token is refused: it expires at ${dateOf(claims.expiresAtMs)}, the one it would replace ${end}.`;
}

function livesTooShort(claims: IatClaims, instance: Instance): string | undefined {
  if (claims.expiresAtMs === undefined || claims.issuedAtMs === undefined) return undefined;
  const lifeMs = claims.expiresAtMs - claims.issuedAtMs;
  if (lifeMs >= instance.lifeMs * (1 - lifeTolerance)) return undefined;
  return `The token is refused: it lives ${inWords(lifeMs)} from its issue on, tokens of ${instance.name} are to live ${inWords(instance.lifeMs)}.`;
}

function dateOf(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

const dayMs = 86_400_000;

/** A duration in the largest unit that does not round it to nothing. */
export function inWords(durationMs: number): string {
  if (durationMs >= 2 * dayMs) return `${Math.round(durationMs / dayMs)} days`;
  if (durationMs >= 7_200_000) return `${Math.round(durationMs / 3_600_000)} hours`;
  if (durationMs >= 120_000) return `${Math.round(durationMs / 60_000)} minutes`;
  return `${Math.round(durationMs / 1000)} seconds`;
}
