import type { DenialReason } from './denial.ts';

/** The stages of Check, in their order. */
export const stageNames = [
  'route',
  'credential',
  'identity',
  'presence',
  'subject',
  'deniedList',
  'tier',
  'model',
  'access',
  'limit',
] as const;

export type StageName = (typeof stageNames)[number];

/**
 * - `passed`, `denied`: as Check decides
 * - `couldNotTell`: whoever was asked could not tell, which ends a request as a denial does
 * - `unknown`: not looked at, because the question or the place where it is asked does not hold what is needed
 * - `notReached`: the way ended before
 */
export type StageVerdict = 'passed' | 'denied' | 'couldNotTell' | 'unknown' | 'notReached';

/** Who said so. `staleCache`: an answer that ran out, served because nobody can tell anew. */
export type SourceKind =
  | 'request'
  | 'question'
  | 'configuration'
  | 'cache'
  | 'staleCache'
  | 'apiServer'
  | 'watch'
  | 'policy'
  | 'counters';

export interface Source {
  readonly kind: SourceKind;
  /** Of a remembered answer. */
  readonly ageMs?: number;
  /** How long it is still remembered, if nothing that is watched ends it before. */
  readonly endsInMs?: number;
  /** Of the policy document, from 1. */
  readonly line?: number;
}

export interface ExplainedStage {
  readonly stage: StageName;
  readonly verdict: StageVerdict;
  /** One sentence for an operator. */
  readonly says: string;
  /** Absent where nothing was looked at. */
  readonly source?: Source;
  readonly reason?: DenialReason;
  /** What would change the verdict; absent where nothing needs to. */
  readonly change?: string;
}

/** A window as it stands: looked at, not charged. */
export interface ExplainedWindow {
  /** `*`, a pattern of models, `team` or `capacity`. */
  readonly scope: string;
  readonly unit: string;
  readonly windowMs: number;
  readonly mode: string;
  /** With a boost in it, if there is one. */
  readonly limit: number;
  /** Absent where the counters were not looked at. */
  readonly remaining?: number;
  /** Until nothing counts any more, if nothing is charged meanwhile. */
  readonly resetAfterMs?: number;
  /** Units that the request takes of it. Absent where the counters were not looked at. */
  readonly needed?: number;
  /** Whether it has no room for the request. */
  readonly exceeded?: boolean;
  /** Where the limit stands in the policy document, from 1. */
  readonly line?: number;
}

/** Whether Check would let a request pass, and why: plain data, the same as JSON. Never holds a token. */
export interface Explanation {
  /** RFC 3339, UTC. */
  readonly at: string;
  readonly request: { readonly method: string; readonly path: string };
  /** Who was asked about, as given: a token (not repeated), or somebody by name. */
  readonly caller: 'nobody' | 'token' | { readonly user: string; readonly groups: readonly string[] };
  /** `unknown`: nothing that could be looked at denies it, and something could not be looked at. */
  readonly verdict: 'allowed' | 'denied' | 'unknown';
  /** Of the answer: 200 where it passes on to the model. Absent where the verdict is unknown. */
  readonly status?: number;
  readonly reason?: DenialReason;
  /** What the client is told. */
  readonly message?: string;
  /** The latest time from now at which a unit fits again; Check may name an earlier one. */
  readonly retryAfterMs?: number;
  readonly subject?: string;
  readonly tier?: string;
  readonly model?: string;
  /** All stages, in the order of `stageNames`. */
  readonly stages: readonly ExplainedStage[];
  readonly windows: readonly ExplainedWindow[];
}
