import type { DocumentStore } from './document-store.ts';
import { type Finding, finding } from './finding.ts';
import { formatIntent, type Intent, intentKey } from './intent.ts';
import type { Ledger } from './ledger.ts';
import type { Pause } from './persist.ts';
import type { Administration, Registration } from './registration.ts';
import type { Secret } from '../secret.ts';

/** A realm as the actions need it. */
export interface Realm {
  readonly instance: string;
  readonly registration: Registration;
  readonly administration: Administration | undefined;
  /** The Initial Access Token of this run; undefined: none that could be used. */
  readonly initialAccess: { readonly token: Secret; readonly id: string | undefined } | undefined;
}

/** What every action works with. */
export interface ActionContext {
  /** The clients' records. */
  readonly records: DocumentStore;
  /** Intents and the ledger: a folder of its own, since readers of the records take every key for a client. */
  readonly state: DocumentStore;
  readonly ledger: Ledger;
  /** 32 random bytes as base64url: client secrets and nonces. */
  readonly random: () => string;
  readonly pause: Pause;
  /** For the calls of one action: it is finished, whatever ends the run, unless this ends it. */
  readonly signal: AbortSignal;
}

export type ActionOutcome =
  | { readonly outcome: 'done'; readonly findings: readonly Finding[] }
  | { readonly outcome: 'failed'; readonly findings: readonly Finding[] }
  /** The Initial Access Token is not taken (any more): no use in trying the other creates of this instance. */
  | { readonly outcome: 'blocked'; readonly findings: readonly Finding[] };

export const done: ActionOutcome = { outcome: 'done', findings: [] };

export function failed(...findings: readonly Finding[]): ActionOutcome {
  return { outcome: 'failed', findings };
}

/** Writes the intent over the one that was found; returns it as it is stored now, undefined: somebody else wrote. */
export async function writeIntent(intent: Intent, context: ActionContext): Promise<Intent | undefined> {
  const content = formatIntent(intent);
  const version = await context.state.write(intentKey(intent.id), content, intent.version, context.signal);
  return version === undefined ? undefined : { ...intent, version };
}

export function removeIntent(id: string, context: ActionContext): Promise<void> {
  return context.state.remove(intentKey(id), context.signal);
}

export function otherWriter(id: string): ActionOutcome {
  return failed(
    finding('record_conflict', id, 'another registrar is at work on it; the next run looks again'),
  );
}
