import { isDependencyError } from '../dependency-error.ts';
import { createSecret } from '../secret.ts';
import type { CreateAction } from './action.ts';
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
import { type RegisteredClient, recordOf, type StoredClient } from './client.ts';
import { finding } from './finding.ts';
import { complaintFrom } from './iat-state.ts';
import type { Intent } from './intent.ts';
import { persist } from './persist.ts';
import { obstacles, tokenLost } from './obstacle.ts';

/**
 * Intent, register, store, count, drop the intent. Whatever step it ends at, the next run can tell how far it
 * came; a registration that can't be stored is deleted again. Throws DependencyError with the intent in place.
 */
export async function createClient(
  action: CreateAction,
  realm: Realm,
  context: ActionContext,
): Promise<ActionOutcome> {
  const { id } = action;
  if (realm.initialAccess === undefined) throw new TypeError(`no token to create ${id} with`);
  const intent = await writeIntent(intentFor(action, realm, context), context);
  if (intent?.clientSecret === undefined) return otherWriter(id);
  const work: Work = { action, realm, context, intent };
  if (action.intent !== undefined && !realm.registration.choosesCredentials) {
    const adopted = await adoptByName(work);
    if (adopted !== undefined) return adopted;
  }
  const { register } = realm.registration;
  const answer = await register(
    action.desired,
    intent.clientSecret,
    realm.initialAccess.token,
    context.signal,
  );
  switch (answer.outcome) {
    case 'registered':
      return noteOrphan(work, await keep(work, answer.client, 'undo'));
    case 'identifier_taken':
      return takeUp({ ...work, intent: { ...intent, tokenId: action.intent?.tokenId ?? intent.tokenId } });
    case 'token_refused': {
      await removeIntent(id, context);
      const { detail } = complaintFrom(answer.reason, false);
      return {
        outcome: 'blocked',
        findings: [finding('create_blocked', id, `${realm.instance}: ${detail}`)],
      };
    }
    case 'refused':
    default:
      await removeIntent(id, context);
      return failed(finding('client_refused', id, answer.detail));
  }
}

interface Work {
  readonly action: CreateAction;
  readonly realm: Realm;
  readonly context: ActionContext;
  readonly intent: Intent;
}

/** Takes over the secret of an interrupted run: the client may stand in the realm with it. */
function intentFor(action: CreateAction, realm: Realm, context: ActionContext): Intent {
  const found = action.intent;
  return {
    id: action.id,
    version: found?.version,
    step: 'create',
    nonce: found?.nonce ?? context.random(),
    issuer: action.desired.issuer,
    clientSecret: found?.clientSecret ?? createSecret(context.random()),
    tokenId: realm.initialAccess?.id,
  };
}

/**
 * A client with our id exists. It is ours exactly if it has the secret that only our intent knows: then the
 * answer to an earlier attempt was lost, and with it the registration access token.
 */
async function takeUp(work: Work): Promise<ActionOutcome> {
  const { action, realm, context, intent } = work;
  const { id, desired } = action;
  const secret = intent.clientSecret ?? createSecret('');
  const presence = await realm.registration.find(id, secret, context.signal);
  if (presence === 'disabled' || presence === 'unclear') {
    // It may be ours: the intent stays for a run that can tell.
    return failed(finding(obstacles[presence].kind, id, obstacles[presence].detail));
  }
  if (presence !== 'present') {
    await removeIntent(id, context);
    return failed(
      finding('identifier_taken', id, 'a client with this id exists that this registrar did not make'),
    );
  }
  const recovered = await realm.administration?.recoverClient({ by: 'clientId', value: id }, context.signal);
  if (recovered !== undefined) return keep(work, recovered, 'leave');
  // Without an administrator the client can still be used: its secret is ours, only its token is lost.
  const record: StoredClient = {
    id,
    version: action.stored?.version,
    issuer: desired.issuer,
    clientId: id,
    clientSecret: secret,
    registrationAccessToken: undefined,
    registrationClientUri: realm.registration.clientUri(id),
    redirectUris: desired.redirectUris,
    attributes: desired.attributes,
    document: action.stored?.document ?? createSecret('{}'),
  };
  const kept = await keepRecord(work, record, 'leave');
  return kept.outcome === 'done'
    ? { ...kept, findings: [finding(tokenLost.kind, id, tokenLost.detail)] }
    : kept;
}

/** Where the server chooses the id, only the name tells whether an interrupted run got as far as a client. */
async function adoptByName(work: Work): Promise<ActionOutcome | undefined> {
  const { action, realm, context } = work;
  if (realm.administration === undefined) return undefined;
  const found = await realm.administration.recoverClient({ by: 'name', value: action.id }, context.signal);
  return found === undefined ? undefined : keep(work, found, 'leave');
}

/** Without an administrator nobody can look: the interrupted run may have left a client that this one doubled. */
function noteOrphan(work: Work, outcome: ActionOutcome): ActionOutcome {
  const { action, realm } = work;
  if (action.intent === undefined || realm.registration.choosesCredentials) return outcome;
  if (realm.administration !== undefined) return outcome;
  const detail = `an interrupted run may have left a second client of this name at ${realm.instance}; only an administrator can look`;
  return { ...outcome, findings: [...outcome.findings, finding('orphan', action.id, detail)] };
}

/** What becomes of a client that could not be stored: delete one just made, leave one that was there before. */
type OnFailure = 'undo' | 'leave';

function keep(work: Work, registered: RegisteredClient, onFailure: OnFailure): Promise<ActionOutcome> {
  const { action, intent } = work;
  const secret = registered.clientSecret ?? intent.clientSecret ?? createSecret('');
  return keepRecord(work, recordOf(action.desired, registered, secret, action.stored), onFailure);
}

async function keepRecord(work: Work, record: StoredClient, onFailure: OnFailure): Promise<ActionOutcome> {
  const { realm, context, intent } = work;
  const { id } = record;
  const stored = await persist(context.records, record, context.pause, context.signal);
  if (stored.outcome === 'stored') {
    if (intent.tokenId !== undefined)
      await context.ledger.add(realm.instance, intent.tokenId, intent.nonce, context.signal);
    await removeIntent(id, context);
    return done;
  }
  if (onFailure === 'undo') {
    const undone = await undo(work, record);
    if (undone !== undefined) return undone;
  }
  if (stored.outcome === 'failed') throw stored.error;
  return otherWriter(id);
}

/** Deletes what was just registered. Undefined: done; the intent stays only if the client may have stayed. */
async function undo(work: Work, record: StoredClient): Promise<ActionOutcome | undefined> {
  const { realm, context } = work;
  try {
    await realm.registration.remove(record, context.signal);
  } catch (error) {
    if (!isDependencyError(error)) throw error;
    const detail = `it was registered, could not be stored and could not be deleted again (${error.dependency} ${error.code}); the next run takes it up`;
    return failed(finding('undo_failed', record.id, detail));
  }
  try {
    await removeIntent(record.id, context);
  } catch (error) {
    // The store is what failed before: a left-over intent without a client does no harm.
    if (!isDependencyError(error)) throw error;
  }
  return undefined;
}
