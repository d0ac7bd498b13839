import type { DesiredClient, RegisteredClient, StoredClient } from './client.ts';
import type { Difference } from './difference.ts';
import type { Intent } from './intent.ts';
import type { RemovalEvidence } from './removal.ts';

/** Registers a client and stores its record. */
export interface CreateAction {
  readonly kind: 'create';
  readonly id: string;
  readonly desired: DesiredClient;
  /** The record of a client that vanished, to be overwritten. */
  readonly stored: StoredClient | undefined;
  /** Left behind by an interrupted run. */
  readonly intent: Intent | undefined;
}

/** Changes a client's metadata and stores the registration access token that replaces the one used. */
export interface UpdateAction {
  readonly kind: 'update';
  readonly id: string;
  readonly desired: DesiredClient;
  readonly stored: StoredClient;
  readonly differences: readonly Difference[];
  readonly intent: Intent | undefined;
}

/** Stores what the realm says where that is newer than the record: a re-signed token, a changed secret. */
export interface SaveAction {
  readonly kind: 'save';
  readonly id: string;
  readonly stored: StoredClient;
  readonly registered: RegisteredClient;
  readonly differences: readonly Difference[];
  readonly intent: Intent | undefined;
}

/** Has the administrator give out a new registration access token for a client whose own is lost. */
export interface RecoverAction {
  readonly kind: 'recover';
  readonly id: string;
  readonly desired: DesiredClient;
  readonly stored: StoredClient;
  readonly intent: Intent | undefined;
}

/** Deletes the client, then its record. */
export interface RemoveAction {
  readonly kind: 'remove';
  readonly id: string;
  readonly stored: StoredClient;
  readonly evidence: RemovalEvidence;
  /** Id of a client that must have been made in this run before; if that failed, nothing is removed. */
  readonly waitsFor: string | undefined;
  readonly intent: Intent | undefined;
}

/** Ends an interrupted registration whose client nobody wants any more. */
export interface AbandonAction {
  readonly kind: 'abandon';
  readonly id: string;
  readonly intent: Intent;
}

/** Removes an intent whose work turns out to be done. */
export interface ClearAction {
  readonly kind: 'clear';
  readonly id: string;
  readonly intent: Intent;
}

export type Action =
  | CreateAction
  | UpdateAction
  | SaveAction
  | RecoverAction
  | RemoveAction
  | AbandonAction
  | ClearAction;

/** One line for a person: what would be done, to which client, and why. No secrets. */
export function describeAction(action: Action): string {
  const reason = reasonFor(action);
  const line = `${action.kind.padEnd(7)} ${action.id}`;
  return reason === undefined ? line : `${line} (${reason})`;
}

function reasonFor(action: Action): string | undefined {
  switch (action.kind) {
    case 'create':
      if (action.stored !== undefined) return 'again: its realm does not know it any more';
      return action.intent === undefined ? undefined : 'taking up an interrupted run';
    case 'update':
    case 'save':
      return action.differences
        .map(({ field, from, to }) => `${field}: ${from || 'none'} -> ${to || 'none'}`)
        .join('; ');
    case 'remove':
      return action.waitsFor === undefined
        ? action.evidence
        : `${action.evidence}, once ${action.waitsFor} is stored`;
    case 'recover':
      return 'a new registration access token from the administrator';
    case 'abandon':
      return 'an interrupted registration that is not wanted any more';
    case 'clear':
    default:
      return 'left by a run that was interrupted after its work was done';
  }
}
