import type { Account, DeleteAccount, FindAccount, ListAccounts } from '../issue/account.ts';
import type { AnnotateAccount, CreateAccount } from '../issue/ensure-account.ts';
import type { KubernetesClient } from './client.ts';
import { listMetadata, unexpected } from './list-objects.ts';
import { type ObjectMetadata, readMetadata } from './object-metadata.ts';
import { instanceLabel, tierLabels } from './tier-labels.ts';

/** Whom an account was made for: the subject of their counters. */
export const userAnnotation = 'tiergate.dev/user';

/** That person's groups as of the last mint, as a JSON list: those that limits are shared by. */
export const groupsAnnotation = 'tiergate.dev/groups';

export interface ServiceAccounts {
  readonly findAccount: FindAccount;
  readonly createAccount: CreateAccount;
  readonly annotateAccount: AnnotateAccount;
  readonly deleteAccount: DeleteAccount;
  readonly listAccounts: ListAccounts;
}

/** Users' accounts as ServiceAccounts of the tier namespaces. */
export function createServiceAccounts(
  client: Pick<KubernetesClient, 'request'>,
  instance: string,
): ServiceAccounts {
  return {
    findAccount: async ({ namespace, name }) => {
      const answer = await client.request({ method: 'GET', path: pathOf(namespace, name) });
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw unexpected(answer);
      return accountFrom(readMetadata(answer.body));
    },

    createAccount: async ({ namespace, name, tier, user, groups }) => {
      const answer = await client.request({
        method: 'POST',
        path: pathOf(namespace),
        body: {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name, labels: tierLabels(instance, tier), annotations: annotationsOf(user, groups) },
          automountServiceAccountToken: false,
        },
      });
      if (answer.status === 409) return 'exists';
      if (answer.status === 404) return 'no_namespace';
      if (answer.status !== 201) throw unexpected(answer);
      return accountFrom(readMetadata(answer.body));
    },

    annotateAccount: async ({ namespace, name, uid }, { user, groups }) => {
      const answer = await client.request({
        method: 'PATCH',
        path: pathOf(namespace, name),
        contentType: 'application/merge-patch+json',
        // A uid in a patch is a precondition: an account made again meanwhile answers 409.
        body: {
          metadata: {
            uid,
            annotations: {
              [userAnnotation]: user,
              [groupsAnnotation]: groups.length > 0 ? JSON.stringify(groups) : null,
            },
          },
        },
      });
      if (answer.status === 404 || answer.status === 409) return undefined;
      if (answer.status !== 200) throw unexpected(answer);
      return accountFrom(readMetadata(answer.body));
    },

    deleteAccount: async ({ namespace, name, uid }) => {
      const answer = await client.request({
        method: 'DELETE',
        path: pathOf(namespace, name),
        body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } },
      });
      // 409: another account of that name is there now, so this one is gone.
      if (![200, 202, 404, 409].includes(answer.status)) throw unexpected(answer);
    },

    listAccounts: async (namespace) => {
      const objects = await listMetadata(client, pathOf(namespace), `${instanceLabel}=${instance}`);
      return objects.map(accountFrom);
    },
  };
}

function accountFrom({ namespace, name, uid, annotations }: ObjectMetadata): Account {
  return { namespace, name, uid, user: annotations[userAnnotation], groups: groupsFrom(annotations) };
}

function annotationsOf(user: string, groups: readonly string[]): Readonly<Record<string, string>> {
  return { [userAnnotation]: user, ...(groups.length > 0 && { [groupsAnnotation]: JSON.stringify(groups) }) };
}

/** Groups of an account; none where nobody wrote any, or somebody wrote something else. */
export function groupsFrom(annotations: Readonly<Record<string, string>>): readonly string[] {
  const text = annotations[groupsAnnotation];
  if (text === undefined) return [];
  let groups: unknown;
  try {
    groups = JSON.parse(text);
  } catch {
    return [];
  }
  return Array.isArray(groups) ? groups.filter((group) => typeof group === 'string') : [];
}

function pathOf(namespace: string, name?: string): string {
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts`;
  return name === undefined ? collection : `${collection}/${encodeURIComponent(name)}`;
}
