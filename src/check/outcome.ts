import type { DenialReason } from './denial.ts';
import type { WindowState } from './limit.ts';
import type { Model } from './model.ts';

/** A refusal, or could-not-tell where that ends a request: a value, never thrown. */
export interface Denied {
  readonly denied: true;
  readonly reason: DenialReason;
  /** One sentence for the client: never a cause, never a secret, nothing that helps to enumerate. */
  readonly detail: string;
  /** The earliest time from now at which asking again can succeed. */
  readonly retryAfterMs?: number;
  /** Windows as they stood, when a limit denied. */
  readonly windows?: readonly WindowState[];
  /** For the log only: what could not tell, and why. */
  readonly cause?: unknown;
}

/**
 * The request may pass. `kind` says how far it was looked at:
 * `public` not at all beyond its path, `identity` up to the tier, `model` through every stage.
 */
export interface Allowed {
  readonly denied: false;
  readonly kind: 'public' | 'identity' | 'model';
  readonly subject?: string;
  readonly tier?: string;
  readonly model?: Model;
  readonly windows: readonly WindowState[];
  /** Of the slot that the request has while it is open; told to Envoy, whose access log brings it back. */
  readonly slotId?: string;
  /** Of the tokens that the request is charged until it is told how many it used; told to Envoy as the slot is. */
  readonly reservation?: ReservedTokens;
}

/** Tokens that are reserved for a request. */
export interface ReservedTokens {
  /** See KeyedId: whoever tells of the request's end brings it back. */
  readonly id: string;
  /** Prompt and answer together, before any weight. */
  readonly tokens: number;
}

/** What was known of the request when it ended, for log and metadata; also of a denied one. */
export interface Knowledge {
  readonly subject?: string;
  readonly tier?: string;
  readonly model?: Model;
}

/** A denial with what was known of the request by then. */
export interface Refused extends Denied, Knowledge {}

export type Outcome = Allowed | Refused;

export function denied(reason: DenialReason, detail: string, more: Partial<Denied> = {}): Denied {
  return { ...more, denied: true, reason, detail };
}

export function isDenied(value: object): value is Denied {
  return 'denied' in value && value.denied === true;
}
