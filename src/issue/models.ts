import type { AccessGranted, AccessQuestion, Authorize } from '../check/access.ts';
import { isDenied } from '../check/outcome.ts';
import type { ReviewCache } from '../check/review-cache.ts';
import { tierNamespace } from '../policy/create-policy.ts';
import { accountName } from './account.ts';
import type { Caller } from './caller.ts';

/** A model that the cluster serves, as clients of MaaS know it. */
export interface ServedModel {
  readonly namespace: string;
  /** Of the object: what access is granted by. */
  readonly objectName: string;
  /** What clients put into `model`. */
  readonly id: string;
  readonly createdAtMs: number;
  readonly ready: boolean;
  readonly url?: string;
  readonly useCase?: string;
  readonly description?: string;
  readonly displayName?: string;
}

/** Port: every model there is, from what is watched or a file. Throws DependencyError: not known yet. */
export type ListServedModels = () => readonly ServedModel[];

export interface ListModelsOptions {
  readonly instance: string;
  readonly listServedModels: ListServedModels;
  readonly authorize: Authorize;
  readonly cache: ReviewCache<AccessGranted>;
}

/**
 * The models that a caller's access tokens may use, by namespace and name: asked as the gateway will ask, as the
 * ServiceAccount of their tier. Asks nothing of the models and costs no quota. Throws DependencyError.
 */
export type ListModels = (caller: Caller, tier: string) => Promise<readonly ServedModel[]>;

/** Reviews of one list at a time: a long list must not spend what others need. */
const maxParallel = 10;

export function createListModels(options: ListModelsOptions): ListModels {
  const { instance, listServedModels, authorize, cache } = options;

  async function mayUse(asker: Asker, model: ServedModel): Promise<boolean> {
    const question: AccessQuestion = {
      ...asker,
      uid: '',
      extra: {},
      namespace: model.namespace,
      name: model.objectName,
    };
    const key = JSON.stringify([asker.user, model.namespace, model.objectName]);
    return !isDenied(await cache.ask(key, () => authorize(question)));
  }

  return async (caller, tier) => {
    const asker = tierAccountOf(instance, caller, tier);
    const waiting = listServedModels().toSorted(byPlace);
    const usable: ServedModel[] = [];
    const work = async (): Promise<void> => {
      for (let model = waiting.shift(); model !== undefined; model = waiting.shift()) {
        try {
          if (await mayUse(asker, model)) usable.push(model);
        } catch (error) {
          // There will be no list: nobody need ask for the rest of it.
          waiting.length = 0;
          throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: maxParallel }, work));
    return usable.sort(byPlace);
  };
}

type Asker = Pick<AccessQuestion, 'user' | 'groups'>;

/** Whom the caller's access tokens speak for, with the groups that the API server gives every ServiceAccount. */
function tierAccountOf(instance: string, { principal, kind }: Caller, tier: string): Asker {
  const account =
    kind === 'access' && principal.serviceAccount !== undefined
      ? principal.serviceAccount
      : { namespace: tierNamespace(instance, tier), name: accountName(principal.username) };
  const { namespace, name } = account;
  return {
    user: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}

function byPlace(a: ServedModel, b: ServedModel): number {
  return a.namespace.localeCompare(b.namespace) || a.objectName.localeCompare(b.objectName);
}
