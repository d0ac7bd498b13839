import type { ModelPattern, TeamPattern } from './pattern.ts';

/** Kinds of tokens; `tokens` are both together. */
export type TokenUnit = 'tokens' | 'inputTokens' | 'outputTokens';

/** What a window counts. */
export type WindowUnit = 'requests' | TokenUnit;

/** Shadow counts and reports, and never denies. */
export type EnforcementMode = 'enforce' | 'shadow';

/** What a tier wants when the counters can not be reached. */
export type OnStoreUnavailable = 'local' | 'deny' | 'allow';

/**
 * One limit over one window. Its identity is scope, unit and length: the limit itself can change while the
 * counter stays.
 */
export interface WindowLimit {
  /** `*`: all of a subject's requests. A model pattern: those for its models. `team`, `capacity`: see there. */
  readonly scope: string;
  readonly unit: WindowUnit;
  /** Length of the window, in milliseconds. */
  readonly windowMs: number;
  /** Units in any window of that length, a whole number of at least 1. */
  readonly limit: number;
  readonly mode: EnforcementMode;
}

/** What is said of some models beside what is said of all. */
export interface ModelLimits {
  readonly pattern: ModelPattern;
  /** Windows of each subject, for all models of the pattern together; their scope is the pattern. */
  readonly windows: readonly WindowLimit[];
  /** What one request costs in every window of requests of the tier, these included, and one token in those of tokens. */
  readonly weight: number;
}

/** Windows that the members of a team have together. */
export interface SharedLimits {
  readonly by: TeamPattern;
  readonly windows: readonly WindowLimit[];
}

/** What a model takes, whoever asks; each model of the pattern has counters of its own. */
export interface ModelCapacity {
  readonly pattern: ModelPattern;
  readonly windows: readonly WindowLimit[];
}

/** Requests of a subject that may be open at once. */
export interface ConcurrencyLimit {
  /** A whole number of at least 1. */
  readonly limit: number;
  readonly mode: EnforcementMode;
}

/** What a request is charged in tokens until it has ended, as far as it does not say itself. */
export interface TokenReserve {
  /** For a prompt whose length is not known. */
  readonly promptTokens: number;
  /** For an answer without an upper bound. */
  readonly maxTokens: number;
}

/** A stream that will not tell what it used: let pass and charged as estimated, or refused (`usage_required`). */
export type StreamWithoutUsage = 'estimate' | 'deny';

export interface Tier {
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  /** The higher level wins where groups of several tiers are held. */
  readonly level: number;
  /** 0 for the tier that wins over all others, then 1, and so on: level, then order in the document. */
  readonly rank: number;
  /** As written, and the implicit group of the tokens issued in the tier. */
  readonly groups: readonly string[];
  /** Windows of each subject of the tier, for all models; empty only where the document says `unlimited`. */
  readonly windows: readonly WindowLimit[];
  /** Narrowest first: the first that matches a model holds, and no other. */
  readonly models: readonly ModelLimits[];
  readonly shared: SharedLimits | undefined;
  /** Absent: any number of requests at once. */
  readonly concurrency?: ConcurrencyLimit | undefined;
  readonly reserve: TokenReserve;
  /** Asked only where tokens are limited. */
  readonly streamWithoutUsage: StreamWithoutUsage;
  /** For counters that can not be reached; undefined leaves it to the process file. */
  readonly onStoreUnavailable: OnStoreUnavailable | undefined;
  /** The longest lifetime of a token minted in the tier, in milliseconds; undefined leaves it to the cluster. */
  readonly maxTokenLifetimeMs: number | undefined;
}

/** A policy document that was found valid as a whole: tiers and limits. Frozen; a change is another Policy. */
export interface Policy {
  /** In the order of the document. */
  readonly tiers: readonly Tier[];
  /** For each group, the highest tier that holds it. */
  readonly tierByGroup: ReadonlyMap<string, Tier>;
  /** Narrowest first, as a tier's models. */
  readonly capacity: readonly ModelCapacity[];
  /** For callers whose groups belong to no tier. */
  readonly defaultTier: Tier | undefined;
  /** Sentences for the operator: valid, but perhaps not meant. */
  readonly warnings: readonly string[];
  /**
   * Line of the text that it was read from, from 1; of what has none its nearest parent's. Absent for a policy that was
   * read from no text.
   */
  readonly lineOf?: (path: readonly PropertyKey[]) => number | undefined;
}
