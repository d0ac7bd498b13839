import { type DependencyError, isDependencyError } from '../dependency-error.ts';
import type { Action } from './action.ts';
import { type ActionContext, type ActionOutcome, failed, type Realm } from './action-context.ts';
import { type ChangeContext, clearIntent, recoverClient, saveClient, updateClient } from './change-client.ts';
import type { StoredClient } from './client.ts';
import { createClient } from './create-client.ts';
import { type Finding, finding } from './finding.ts';
import { persist } from './persist.ts';
import { abandonIntent, removeClient } from './remove-client.ts';

export interface ApplyOptions extends Omit<ActionContext, 'signal'> {
  /** For all calls of one action together, in ms. An action that was begun is finished within it, also at shutdown. */
  readonly actionTimeoutMs: number;
}

export interface AppliedAction {
  readonly action: Action;
  /** `skipped`: not tried, because what it needs failed before. */
  readonly outcome: ActionOutcome['outcome'] | 'skipped';
  readonly findings: readonly Finding[];
}

export interface ApplyInput {
  readonly actions: readonly Action[];
  /** By issuer. */
  readonly realms: ReadonlyMap<string, Realm>;
  /** Called after each action, in order: for the audit log. */
  readonly onApplied: (applied: AppliedAction) => void;
}

export interface Apply {
  /** One action at a time; when `stop` is aborted the rest is left for the next run. */
  readonly run: (input: ApplyInput, stop: AbortSignal) => Promise<readonly AppliedAction[]>;
  /** Tries again to store what an earlier run could not; returns what still is not stored. */
  readonly saveUnsaved: () => Promise<readonly Finding[]>;
}

/** Name of the dependency behind every Registration and Administration; any other one is a store. */
export const realmDependency = 'oidc';

/** Of a realm, failures that are one client's own as a rule: the others are tried, unless it goes on like that. */
const maxFailuresInARow = 3;

export function createApply(options: ApplyOptions): Apply {
  const unsaved = new Map<string, StoredClient>();
  const rememberUnsaved = (client: StoredClient): void => void unsaved.set(client.id, client);
  const contextNow = (): ChangeContext => ({
    ...options,
    rememberUnsaved,
    signal: AbortSignal.timeout(options.actionTimeoutMs),
  });

  return {
    run: async ({ actions, realms, onApplied }, stop) => {
      const applied: AppliedAction[] = [];
      const breakers = createBreakers();
      const doneIds = new Set<string>();
      for (const action of actions) {
        if (stop.aborted) break;
        const realm = realms.get(issuerOf(action));
        if (realm === undefined) throw new TypeError(`no realm for ${action.id}`);
        const reason = breakers.reasonToSkip(action, realm) ?? unmetWait(action, doneIds);
        const result: Attempt =
          reason === undefined
            ? await attempt(action, realm, contextNow())
            : { outcome: 'skipped', findings: [finding('skipped', action.id, reason)] };
        breakers.note(realm, result);
        if (result.outcome === 'done') doneIds.add(action.id);
        const entry: AppliedAction = { action, outcome: result.outcome, findings: result.findings };
        applied.push(entry);
        onApplied(entry);
      }
      return applied;
    },

    saveUnsaved: async () => {
      const findings: Finding[] = [];
      for (const [id, client] of unsaved) {
        const context = contextNow();
        const { outcome } = await persist(context.records, client, context.pause, context.signal);
        if (outcome === 'failed') {
          findings.push(
            finding('token_not_persisted', id, 'its registration access token is still not stored'),
          );
        } else {
          // A conflict: somebody stored something newer; the next look at the client tells what it is worth.
          unsaved.delete(id);
        }
      }
      return findings;
    },
  };
}

interface Attempt {
  readonly outcome: AppliedAction['outcome'];
  readonly findings: readonly Finding[];
  readonly error?: DependencyError;
}

async function attempt(action: Action, realm: Realm, context: ChangeContext): Promise<Attempt> {
  try {
    return await perform(action, realm, context);
  } catch (error) {
    if (!isDependencyError(error)) throw error;
    return { ...failed(finding('dependency_failed', action.id, error.message)), error };
  }
}

async function perform(action: Action, realm: Realm, context: ChangeContext): Promise<ActionOutcome> {
  switch (action.kind) {
    case 'create':
      return createClient(action, realm, context);
    case 'update':
      return updateClient(action, realm, context);
    case 'recover':
      return recoverClient(action, realm, context);
    case 'save':
      return saveClient(action, context);
    case 'remove':
      return removeClient(action, realm, context);
    case 'abandon':
      return abandonIntent(action, realm, context);
    case 'clear':
    default:
      return clearIntent(action, context);
  }
}

function unmetWait(action: Action, doneIds: ReadonlySet<string>): string | undefined {
  if (action.kind !== 'remove' || action.waitsFor === undefined || doneIds.has(action.waitsFor))
    return undefined;
  return `its successor ${action.waitsFor} could not be made: it stays`;
}

interface Breakers {
  readonly reasonToSkip: (action: Action, realm: Realm) => string | undefined;
  readonly note: (realm: Realm, attempt: Attempt) => void;
}

/**
 * What is down stays untried for the rest of the run: thirty time-outs one after the other help nobody.
 * Every action needs the store; a realm that is down, or a used-up token, stops only its own instance.
 */
function createBreakers(): Breakers {
  const openBy = new Map<string, string>();
  const failuresInARow = new Map<string, number>();
  const storeKey = 'store';
  const createKeyOf = (realm: Realm): string => `create ${realm.instance}`;

  return {
    reasonToSkip: (action, realm) =>
      openBy.get(storeKey) ??
      openBy.get(realm.instance) ??
      (action.kind === 'create' ? openBy.get(createKeyOf(realm)) : undefined),
    note: (realm, { outcome, findings, error }) => {
      if (outcome === 'skipped') return;
      if (outcome === 'blocked') openBy.set(createKeyOf(realm), findings[0]?.detail ?? 'blocked');
      if (error === undefined) {
        failuresInARow.clear();
        return;
      }
      const key = error.dependency === realmDependency ? realm.instance : storeKey;
      const count = (failuresInARow.get(key) ?? 0) + 1;
      failuresInARow.set(key, count);
      const isRealm = key !== storeKey;
      const isOwn = isRealm && (error.code === 'failed' || error.code === 'malformed');
      if (!isOwn || count >= maxFailuresInARow) openBy.set(key, `not tried: ${error.message}`);
    },
  };
}

function issuerOf(action: Action): string {
  if (action.kind === 'create') return action.desired.issuer;
  return 'stored' in action ? action.stored.issuer : action.intent.issuer;
}
