import { createSecret } from '../secret.ts';
import type { AbandonAction, RemoveAction } from './action.ts';
import {
  type ActionContext,
  type ActionOutcome,
  done,
  failed,
  type Realm,
  removeIntent,
} from './action-context.ts';
import { type RegisteredClient, recordAfter, type StoredClient } from './client.ts';
import { finding } from './finding.ts';
import type { Intent } from './intent.ts';
import type { ClientReference } from './registration.ts';
import { type Obstacle, obstacles, tokenLost } from './obstacle.ts';

/**
 * Deletes the client, then its record: never the other way, since the record is all that can delete the
 * client. A refused token is no proof that the client is gone; the record goes only if the realm says so.
 */
export async function removeClient(
  action: RemoveAction,
  realm: Realm,
  context: ActionContext,
): Promise<ActionOutcome> {
  const { id } = action;
  const removed = await removeRegistered(action, realm, context);
  if (removed !== undefined) return failed(finding(removed.kind, id, removed.detail));
  await context.records.remove(id, context.signal);
  if (action.intent !== undefined) await removeIntent(id, context);
  return done;
}

async function removeRegistered(
  { stored, intent }: RemoveAction,
  realm: Realm,
  context: ActionContext,
): Promise<Obstacle | undefined> {
  const { registration, administration } = realm;
  const { signal } = context;
  if (stored.registrationAccessToken !== undefined) {
    if ((await registration.remove(stored, signal)) === 'removed') return undefined;
  }
  const presence = await registration.find(stored.clientId, stored.clientSecret, signal);
  if (presence === 'gone') return undefined;
  // Another secret is nobody's but ours if an interrupted run wrote down that it would register with it.
  const renewed = presence === 'other_secret' ? intent?.clientSecret : undefined;
  const isOurs =
    presence === 'present' ||
    (renewed !== undefined && (await registration.find(stored.clientId, renewed, signal)) === 'present');
  if (!isOurs) return obstacles[presence];
  const reference: ClientReference = { by: 'clientId', value: stored.clientId };
  const recovered = await administration?.recoverClient(reference, signal);
  if (recovered === undefined) return tokenLost;
  const isRemoved = (await registration.remove(recordAfter(stored, recovered), signal)) === 'removed';
  return isRemoved ? undefined : tokenLost;
}

/** Ends an interrupted registration that nobody wants any more, with the client that it may have left. */
export async function abandonIntent(
  action: AbandonAction,
  realm: Realm,
  context: ActionContext,
): Promise<ActionOutcome> {
  const { id, intent } = action;
  const left = intent.step === 'create' ? await findLeft(intent, realm, context) : 'nothing';
  if (left === 'unreachable') {
    const detail =
      'an interrupted registration may have left a client that only an administrator can delete; nobody wants it any more';
    return failed(finding('orphan', id, detail));
  }
  if (left !== 'nothing') await realm.registration.remove(recordOfLeft(intent, left), context.signal);
  await removeIntent(id, context);
  return done;
}

async function findLeft(
  intent: Intent,
  realm: Realm,
  context: ActionContext,
): Promise<RegisteredClient | 'nothing' | 'unreachable'> {
  const { registration, administration } = realm;
  const { id, clientSecret } = intent;
  if (registration.choosesCredentials && clientSecret !== undefined) {
    const presence = await registration.find(id, clientSecret, context.signal);
    if (presence === 'gone' || presence === 'other_secret') return 'nothing';
    if (presence !== 'present') return 'unreachable';
  }
  if (administration === undefined) return 'unreachable';
  const by = registration.choosesCredentials ? 'clientId' : 'name';
  return (await administration.recoverClient({ by, value: id }, context.signal)) ?? 'nothing';
}

function recordOfLeft(intent: Intent, left: RegisteredClient): StoredClient {
  return {
    ...left,
    id: intent.id,
    version: undefined,
    issuer: intent.issuer,
    clientSecret: left.clientSecret ?? createSecret(''),
    document: createSecret('{}'),
  };
}
