import type {
  CompleteTokenRecord,
  CreateTokenRecord,
  DeleteTokenRecord,
  ListTokenRecords,
  TokenRecord,
} from '../issue/token-record.ts';
import type { KubernetesClient } from './client.ts';
import { listMetadata, unexpected } from './list-objects.ts';
import { type ObjectMetadata, readMetadata } from './object-metadata.ts';
import { userAnnotation } from './service-account.ts';

const tokenSecretType = 'tiergate.dev/access-token';
export const tokenSecretLabel = 'tiergate.dev/token';
/** Finds the Secrets of one account without reading those of all. */
const accountLabel = 'tiergate.dev/service-account';

const prefix = 'tgt-';
const annotation = {
  name: 'tiergate.dev/name',
  description: 'tiergate.dev/description',
  expiresAt: 'tiergate.dev/expires-at',
  jti: 'tiergate.dev/jti',
} as const;

export interface TokenSecrets {
  readonly createTokenRecord: CreateTokenRecord;
  readonly completeTokenRecord: CompleteTokenRecord;
  readonly deleteTokenRecord: DeleteTokenRecord;
  readonly listTokenRecords: ListTokenRecords;
}

/**
 * Records of tokens as Secrets without data, owned by their ServiceAccount. A Secret, because that is what a
 * TokenRequest can be bound to: deleting it ends the token.
 */
export function createTokenSecrets(client: Pick<KubernetesClient, 'request'>): TokenSecrets {
  return {
    createTokenRecord: async ({ id, account, user, name, description, expiresAtMs }) => {
      const { namespace } = account;
      const answer = await client.request({
        method: 'POST',
        path: pathOf(namespace),
        body: {
          apiVersion: 'v1',
          kind: 'Secret',
          type: tokenSecretType,
          metadata: {
            name: `${prefix}${id}`,
            labels: { [tokenSecretLabel]: 'true', [accountLabel]: account.name },
            annotations: {
              [userAnnotation]: user,
              [annotation.expiresAt]: new Date(expiresAtMs).toISOString(),
              ...(name !== undefined && { [annotation.name]: name }),
              ...(description !== undefined && { [annotation.description]: description }),
            },
            ownerReferences: [
              { apiVersion: 'v1', kind: 'ServiceAccount', name: account.name, uid: account.uid },
            ],
          },
        },
      });
      if (answer.status !== 201) throw unexpected(answer);
      const { uid } = readMetadata(answer.body);
      return { id, namespace, uid };
    },

    completeTokenRecord: async ({ id, namespace, uid }, { jti, expiresAtMs }) => {
      const annotations = {
        [annotation.jti]: jti,
        [annotation.expiresAt]: new Date(expiresAtMs).toISOString(),
      };
      const answer = await client.request({
        method: 'PATCH',
        path: pathOf(namespace, id),
        contentType: 'application/merge-patch+json',
        accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json',
        body: { metadata: { uid, annotations } },
      });
      if (answer.status === 404 || answer.status === 409) return false;
      if (answer.status !== 200) throw unexpected(answer);
      return true;
    },

    deleteTokenRecord: async ({ id, namespace, uid }) => {
      const answer = await client.request({
        method: 'DELETE',
        path: pathOf(namespace, id),
        body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } },
      });
      if (answer.status === 404 || answer.status === 409) return false;
      if (answer.status !== 200 && answer.status !== 202) throw unexpected(answer);
      return true;
    },

    listTokenRecords: async (namespace, accountName) => {
      const own = accountName === undefined ? '' : `,${accountLabel}=${accountName}`;
      const objects = await listMetadata(client, pathOf(namespace), `${tokenSecretLabel}=true${own}`);
      return objects.flatMap((metadata) => recordFrom(metadata, namespace));
    },
  };
}

/** None for a Secret that somebody else labelled so. */
function recordFrom(metadata: ObjectMetadata, namespace: string): readonly TokenRecord[] {
  const { annotations, ownerUids, uid, createdAtMs } = metadata;
  const user = annotations[userAnnotation];
  const expiresAtMs = Date.parse(annotations[annotation.expiresAt] ?? '');
  const [accountUid] = ownerUids;
  if (!metadata.name.startsWith(prefix) || user === undefined || accountUid === undefined) return [];
  if (Number.isNaN(expiresAtMs) || metadata.isEnding) return [];
  const name = annotations[annotation.name];
  const description = annotations[annotation.description];
  const jti = annotations[annotation.jti];
  const id = metadata.name.slice(prefix.length);
  return [
    {
      id,
      namespace,
      uid,
      accountUid,
      user,
      createdAtMs,
      expiresAtMs,
      ...(name !== undefined && { name }),
      ...(description !== undefined && { description }),
      ...(jti !== undefined && { jti }),
    },
  ];
}

function pathOf(namespace: string, id?: string): string {
  const collection = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;
  return id === undefined ? collection : `${collection}/${encodeURIComponent(prefix + id)}`;
}
