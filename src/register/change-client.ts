import type { ClearAction, RecoverAction, SaveAction, UpdateAction } from './action.ts';
import {
  type ActionContext,
  type ActionOutcome,
  done,
  failed,
  otherWriter,
  type Realm,
  removeIntent,
  writeIntent,
} from './action-context.ts';
import { type DesiredClient, recordAfter, type StoredClient } from './client.ts';
import { differencesOf } from './difference.ts';
import { finding } from './finding.ts';
import type { Intent } from './intent.ts';
import { persist } from './persist.ts';
import { tokenLost } from './obstacle.ts';

/** Remembers a record that could not be stored, for as long as this process lives. */
export type RememberUnsaved = (client: StoredClient) => void;

export interface ChangeContext extends ActionContext {
  readonly rememberUnsaved: RememberUnsaved;
}

/** Intent, change, store the new registration access token, drop the intent. Throws DependencyError. */
export async function updateClient(
  action: UpdateAction,
  realm: Realm,
  context: ChangeContext,
): Promise<ActionOutcome> {
  const intent = await writeIntent(intentFor(action, context), context);
  if (intent === undefined) return otherWriter(action.id);
  return change(action.stored, action.desired, realm, context);
}

async function change(
  stored: StoredClient,
  desired: DesiredClient,
  realm: Realm,
  context: ChangeContext,
): Promise<ActionOutcome> {
  const { id } = stored;
  const answer = await realm.registration.update(stored, desired, context.signal);
  if (answer.outcome === 'registered') return keep(recordAfter(stored, answer.client), context);
  await removeIntent(id, context);
  if (answer.outcome === 'token_refused') return failed(finding(tokenLost.kind, id, tokenLost.detail));
  return failed(finding('client_refused', id, answer.detail));
}

/**
 * Intent first here too: the token that the administrator gives out kills the one before it, and exists
 * nowhere else until it is stored. What differs besides is changed in the same go.
 */
export async function recoverClient(
  action: RecoverAction,
  realm: Realm,
  context: ChangeContext,
): Promise<ActionOutcome> {
  const { id, stored, desired } = action;
  const intent = await writeIntent(intentFor(action, context), context);
  if (intent === undefined) return otherWriter(id);
  const reference = { by: 'clientId', value: stored.clientId } as const;
  const registered = await realm.administration?.recoverClient(reference, context.signal);
  if (registered === undefined) return failed(finding(tokenLost.kind, id, tokenLost.detail));
  const record = recordAfter(stored, registered);
  if (differencesOf(desired, registered).length > 0) return change(record, desired, realm, context);
  return keep(record, context);
}

/** Brings the record up to what the realm said when it was looked at. */
export async function saveClient(action: SaveAction, context: ChangeContext): Promise<ActionOutcome> {
  return keep(recordAfter(action.stored, action.registered), context, action.intent !== undefined);
}

export async function clearIntent(action: ClearAction, context: ActionContext): Promise<ActionOutcome> {
  await removeIntent(action.id, context);
  return done;
}

async function keep(record: StoredClient, context: ChangeContext, hasIntent = true): Promise<ActionOutcome> {
  const { id } = record;
  const stored = await persist(context.records, record, context.pause, context.signal);
  if (stored.outcome === 'stored') {
    if (hasIntent) await removeIntent(id, context);
    return done;
  }
  if (stored.outcome === 'conflict') return otherWriter(id);
  context.rememberUnsaved(record);
  const { dependency, code } = stored.error;
  const detail = `its new registration access token could not be stored (${dependency} ${code}); this process keeps it and tries again`;
  return failed(finding('token_not_persisted', id, detail));
}

function intentFor(action: UpdateAction | RecoverAction, context: ActionContext): Intent {
  return {
    id: action.id,
    version: action.intent?.version,
    step: 'update',
    nonce: action.intent?.nonce ?? context.random(),
    issuer: action.stored.issuer,
    clientSecret: undefined,
    tokenId: undefined,
  };
}
