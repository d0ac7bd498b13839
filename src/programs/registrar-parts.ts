import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { DependencyError } from '../dependency-error.ts';
import { createFetchJson, type FetchJsonOptions } from '../fetch-json.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { createNamedSecrets, createSecretStore } from '../kubernetes/client-secret.ts';
import { createReadInventory } from '../kubernetes/desired-clients.ts';
import { missingSecretRights } from '../kubernetes/secret-rights.ts';
import { createOcmDiscovery } from '../ocm/discover-clusters.ts';
import { createOcmClient, ocmDependency } from '../ocm/ocm-client.ts';
import { createAdministration } from '../oidc/administration.ts';
import { createClientRegistration } from '../oidc/client-registration.ts';
import { isConfigMistakes } from '../process/config-mistakes.ts';
import type { InstanceConfig, RegistrarConfig } from '../process/registrar-config.ts';
import { createInventoryDiscovery, createReadInventoryFile } from '../process/registrar-inventory.ts';
import { readSecretFile } from '../process/secret-file.ts';
import { type AppliedAction, createApply, realmDependency } from '../register/apply.ts';
import type { DiscoverClusters } from '../register/cluster.ts';
import type { DocumentStore } from '../register/document-store.ts';
import { createIatLife, type IatLife } from '../register/iat-life.ts';
import { createLedger, type Ledger } from '../register/ledger.ts';
import { createReconcile, type Reconcile } from '../register/reconcile.ts';
import type { ManagedInstance } from '../register/tend-token.ts';
import type { Secret } from '../secret.ts';
import { createKvStore } from '../vault/kv-store.ts';
import { createVaultClient, type VaultClient, vaultDependency } from '../vault/vault-client.ts';

export interface RegistrarPartsOptions {
  readonly config: RegistrarConfig;
  /** Asked for only if something is kept there. */
  readonly kubernetes: () => Promise<KubernetesClient>;
  /** Words for the operator. */
  readonly warn: (words: string) => void;
  readonly onApplied: (applied: AppliedAction) => void;
  readonly onRealmCall: NonNullable<FetchJsonOptions['onCall']>;
}

export interface RegistrarParts {
  readonly reconcile: Reconcile;
  /** One for each instance, in the order of the file. */
  readonly lives: readonly IatLife[];
}

/** An action that was begun is finished, also at shutdown; this is how long that may take. */
export const actionTimeoutMs = 60_000;

interface Stores {
  readonly records: DocumentStore;
  readonly state: DocumentStore;
  readonly missingRights: (signal: AbortSignal) => Promise<readonly string[]>;
}

interface Systems {
  readonly options: RegistrarPartsOptions;
  readonly vault: VaultClient | undefined;
  readonly kubernetes: KubernetesClient | undefined;
}

/** Configuration → systems → ports → one pass. Throws ConfigMistakes if a secret can't be read now. */
export async function createRegistrarParts(options: RegistrarPartsOptions): Promise<RegistrarParts> {
  const { config } = options;
  const systems: Systems = {
    options,
    vault: config.vault && connectVault(config.vault, options.warn),
    kubernetes: needsKubernetes(config) ? await options.kubernetes() : undefined,
  };
  const stores = openStores(systems);
  const ledger = createLedger(stores.state);
  const instances = config.instances.map((instance) => manage(instance, { systems, ledger }));
  return {
    lives: instances.map(({ life }) => life),
    reconcile: createReconcile({
      ...stores,
      discover: createDiscovery(systems),
      desired: config,
      instances,
      removal: config.removal,
      apply: createApply({
        ...stores,
        ledger,
        random: () => randomBytes(32).toString('base64url'),
        pause: async (durationMs, signal) => {
          await sleep(durationMs, undefined, { signal }).catch(() => undefined);
        },
        actionTimeoutMs,
      }),
      now: Date.now,
      onApplied: options.onApplied,
    }),
  };
}

/** Where an instance's token is kept, in words: metrics and messages name it by that. */
export function tokenPathOf({ token }: InstanceConfig): string {
  return token.vault ?? `${token.secret?.namespace ?? ''}/${token.secret?.name ?? ''}`.replace(/^\//, '');
}

function needsKubernetes({ clusters, store, instances }: RegistrarConfig): boolean {
  return (
    clusters.configMap !== undefined ||
    store.kubernetes !== undefined ||
    instances.some(({ token }) => token.secret !== undefined)
  );
}

function connectVault(
  server: NonNullable<RegistrarConfig['vault']>,
  warn: (words: string) => void,
): VaultClient {
  const { appRole, tokenFile } = server;
  return createVaultClient({
    url: server.url,
    namespace: server.namespace,
    login:
      appRole === undefined
        ? { method: 'token', token: secretFrom(tokenFile ?? '', vaultDependency, warn) }
        : {
            method: 'approle',
            mount: appRole.mount,
            roleId: secretFrom(appRole.roleIdFile, vaultDependency, warn),
            secretId: secretFrom(appRole.secretIdFile, vaultDependency, warn),
          },
    fetchJson: createFetchJson({ dependency: vaultDependency, timeoutMs: server.timeoutMs }),
    now: Date.now,
  });
}

function openStores({ options, vault, kubernetes }: Systems): Stores {
  const { store } = options.config;
  if (store.vault !== undefined && vault !== undefined) {
    const { path, statePath = `${path}-registrar` } = store.vault;
    const records = createKvStore({ client: vault, path });
    const state = createKvStore({ client: vault, path: statePath });
    return {
      records,
      state,
      missingRights: async (signal) => [
        ...(await records.missingRights(signal)),
        ...(await state.missingRights(signal)),
      ],
    };
  }
  const client = present(kubernetes);
  const namespace = store.kubernetes?.namespace ?? ownNamespace(client);
  return {
    records: createSecretStore({ client, namespace, part: 'record' }),
    state: createSecretStore({ client, namespace, part: 'state' }),
    missingRights: (signal) => missingSecretRights(client, namespace, signal),
  };
}

function createDiscovery({ options, kubernetes }: Systems): DiscoverClusters {
  const { file, configMap, ocm } = options.config.clusters;
  if (file !== undefined) return createInventoryDiscovery(createReadInventoryFile(file));
  if (configMap !== undefined) {
    const client = present(kubernetes);
    const namespace = configMap.namespace ?? ownNamespace(client);
    return createInventoryDiscovery(createReadInventory({ ...configMap, client, namespace }));
  }
  const { clientIdFile, clientSecretFile, organizations, labelPrefix, ...api } = present(ocm);
  return createOcmDiscovery({
    labelPrefix,
    organizations,
    client: createOcmClient({
      ...api,
      clientId: secretFrom(clientIdFile, ocmDependency, options.warn),
      clientSecret: secretFrom(clientSecretFile, ocmDependency, options.warn),
      fetchJson: createFetchJson({ dependency: ocmDependency, timeoutMs: api.timeoutMs }),
      now: Date.now,
    }),
  });
}

interface Management {
  readonly systems: Systems;
  readonly ledger: Ledger;
}

function manage(config: InstanceConfig, { systems, ledger }: Management): ManagedInstance {
  const { issuer, endpoint, admin, timeoutMs } = config;
  const { onRealmCall, warn } = systems.options;
  const fetchJson = createFetchJson({ dependency: realmDependency, timeoutMs, onCall: onRealmCall });
  const registration = createClientRegistration({ issuer, endpoint, fetchJson });
  const administration =
    admin &&
    createAdministration({
      issuer,
      endpoint,
      clientId: admin.clientId,
      clientSecret: secretFrom(admin.clientSecretFile, realmDependency, warn),
      fetchJson,
      now: Date.now,
    });
  const life = createIatLife({
    ...tokenStoreOf(config, systems),
    instance: config,
    field: config.token.field,
    probe: registration.probe,
    administration,
    ledger,
    now: Date.now,
  });
  return { life, registration, administration, renewal: config.renew };
}

function tokenStoreOf(
  { token }: InstanceConfig,
  { vault, kubernetes }: Systems,
): { readonly store: DocumentStore; readonly key: string } {
  if (token.vault !== undefined) {
    const cut = token.vault.lastIndexOf('/');
    return {
      store: createKvStore({ client: present(vault), path: token.vault.slice(0, Math.max(0, cut)) }),
      key: token.vault.slice(cut + 1),
    };
  }
  const client = present(kubernetes);
  const { namespace = ownNamespace(client), name } = present(token.secret);
  return { store: createNamedSecrets(client, namespace), key: name };
}

/** Read at every use, so that what is renewed is taken up; read once now, so that a missing one is told at the start. */
function secretFrom(path: string, dependency: string, warn: (words: string) => void): () => Promise<Secret> {
  readSecretFile(path, warn);
  return async () => {
    try {
      return readSecretFile(path, () => undefined);
    } catch (cause) {
      if (!isConfigMistakes(cause)) throw cause;
      throw new DependencyError(dependency, 'misconfigured', { cause, detail: `${path} can not be read` });
    }
  };
}

/** A context without a namespace means `default`, as it does to kubectl. */
function ownNamespace({ namespace }: KubernetesClient): string {
  return namespace ?? 'default';
}

/** The schema has seen to it that what is asked for is there. */
function present<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('the schema let a part through that is not there');
  return value;
}
