import { randomBytes } from 'node:crypto';
import { type AppliedAction, createApply } from '../../src/register/apply.ts';
import type { Cluster } from '../../src/register/cluster.ts';
import type { DocumentStore } from '../../src/register/document-store.ts';
import { createIatLife } from '../../src/register/iat-life.ts';
import type { Instance } from '../../src/register/iat-state.ts';
import { createLedger } from '../../src/register/ledger.ts';
import { createReconcile, type PassFlags, type PassReport } from '../../src/register/reconcile.ts';
import type { Administration, Registration } from '../../src/register/registration.ts';
import type { RemovalOptions } from '../../src/register/removal.ts';
import type { RenewalOptions } from '../../src/register/renewal.ts';
import { createMemoryRealm, type MemoryRealm } from './memory-realm.ts';
import { createMemoryStore, type MemoryStore } from './memory-store.ts';

export const dayMs = 86_400_000;
export const issuer = 'https://sso.example.com/auth/realms/staff';
export const iatKey = 'sso.example.com';

export function cluster(name: string, fields: Partial<Cluster> = {}): Cluster {
  return {
    name,
    organizationId: 'o1',
    status: 'enabled',
    ready: true,
    externalAuth: false,
    consoleUrl: `https://console-openshift-console.apps.${name}.example.com`,
    authName: undefined,
    issuer: undefined,
    groupFilterRegex: undefined,
    ...fields,
  };
}

export function clusters(count: number, fields: Partial<Cluster> = {}): readonly Cluster[] {
  return Array.from({ length: count }, (_, index) =>
    cluster(`cluster-${String(index + 1).padStart(2, '0')}`, fields),
  );
}

export function idOf(name: string, authName = 'redhat-sso', host = 'sso.example.com'): string {
  return `${name}-o1-${authName}-${host}`;
}

export const desiredOptions = {
  defaultAuthName: 'redhat-sso',
  defaultIssuer: issuer,
  scopes: ['web-origins', 'acr', 'profile', 'roles', 'email'],
  groupFilterScope: 'regex-filtered-groups',
} as const;

export interface WorldOptions {
  readonly isAdministered?: boolean;
  readonly renewal?: RenewalOptions;
  readonly removal?: Partial<RemovalOptions>;
  readonly instance?: Partial<Instance>;
  readonly defaultIssuer?: string;
}

/** What outlives a process, and the outside that it meets; runs are processes of a kind. */
export interface World {
  readonly records: MemoryStore;
  readonly state: MemoryStore;
  readonly tokens: MemoryStore;
  readonly realm: MemoryRealm;
  clusters: readonly Cluster[];
  nowMs: number;
  /** A process that makes one pass. */
  readonly run: (flags?: Partial<PassFlags>, seams?: Seams) => Promise<PassReport>;
  /** A process that makes several: it has a memory of its own. */
  readonly process: (seams?: Seams) => (flags?: Partial<PassFlags>) => Promise<PassReport>;
}

/** Replaces what a run talks to: where a test makes calls fail or the process die. */
export interface Seams {
  readonly records?: (inner: DocumentStore) => DocumentStore;
  readonly state?: (inner: DocumentStore) => DocumentStore;
  readonly registration?: (inner: Registration) => Registration;
  readonly administration?: (inner: Administration) => Administration;
  readonly missingRights?: () => Promise<readonly string[]>;
  readonly onApplied?: (applied: AppliedAction) => void;
}

export function createWorld(options: WorldOptions = {}): World {
  const world: World = {
    records: createMemoryStore(),
    state: createMemoryStore(),
    tokens: createMemoryStore(),
    realm: createMemoryRealm(issuer, () => world.nowMs),
    clusters: [],
    nowMs: Date.parse('2026-11-22T06:00:00Z'),
    run: (flags, seams) => world.process(seams)(flags),
    process: (seams = {}) => startProcess(world, options, seams),
  };
  world.tokens.put(iatKey, {
    url: issuer,
    'initial-access-token': world.realm.issueToken(30 * dayMs, 100).token,
  });
  return world;
}

const neverStops = new AbortController().signal;

/** What a registrar's process is started with: a world of the tests', its realm in memory or a real one. */
export interface Surroundings {
  readonly records: DocumentStore;
  readonly state: DocumentStore;
  readonly tokens: DocumentStore;
  readonly realm: {
    readonly issuer: string;
    readonly registration: Registration;
    readonly administration: Administration;
  };
  readonly clusters: readonly Cluster[];
  readonly nowMs: number;
}

export function startProcess(
  world: Surroundings,
  options: WorldOptions,
  seams: Seams = {},
): (flags?: Partial<PassFlags>) => Promise<PassReport> {
  const records = seams.records?.(world.records) ?? world.records;
  const state = seams.state?.(world.state) ?? world.state;
  const registration = seams.registration?.(world.realm.registration) ?? world.realm.registration;
  const administered = options.isAdministered === true ? world.realm.administration : undefined;
  const administration = administered && (seams.administration?.(administered) ?? administered);
  const ledger = createLedger(state);
  const now = (): number => world.nowMs;
  const life = createIatLife({
    instance: {
      name: 'sso.example.com',
      environment: 'prod',
      issuer: world.realm.issuer,
      lifeMs: 30 * dayMs,
      clients: 100,
      ...options.instance,
    },
    store: world.tokens,
    key: iatKey,
    field: 'token',
    probe: registration.probe,
    administration,
    ledger,
    now,
  });
  const reconcile = createReconcile({
    discover: async () => world.clusters,
    desired: { ...desiredOptions, defaultIssuer: options.defaultIssuer ?? world.realm.issuer },
    records,
    state,
    instances: [{ life, registration, administration, renewal: options.renewal }],
    removal: {
      absentAfterMs: 3 * dayMs,
      replacedAfterMs: 0,
      capClients: 5,
      capPercent: 10,
      ...options.removal,
    },
    apply: createApply({
      records,
      state,
      ledger,
      random: () => randomBytes(32).toString('base64url'),
      pause: async () => undefined,
      actionTimeoutMs: 60_000,
    }),
    missingRights: seams.missingRights ?? (async () => []),
    now,
    onApplied: seams.onApplied ?? (() => undefined),
  });
  return (flags) => reconcile({ dryRun: false, allowMassDelete: false, ...flags }, neverStops);
}
