import { isDependencyError } from '../dependency-error.ts';
import type { Realm } from './action-context.ts';
import { type DesiredClient, readStoredClient, type StoredClient } from './client.ts';
import { concurrently } from './concurrently.ts';
import { type DocumentStore, fieldsOf, formatDocument, parseDocument } from './document-store.ts';
import { type Finding, finding } from './finding.ts';
import { idFromIntentKey, type Intent, readIntent } from './intent.ts';
import { obstacles } from './obstacle.ts';
import type { Inspection } from './plan.ts';
import type { Tombstones } from './removal.ts';

/** Everything the store remembers from earlier runs. */
export interface Survey {
  readonly stored: ReadonlyMap<string, StoredClient>;
  readonly intents: ReadonlyMap<string, Intent>;
  /** Ids about which something is stored that can't be read or trusted: hands off. */
  readonly unreadableIds: ReadonlySet<string>;
  readonly tombstones: Tombstones;
  /** Of the document that holds the tombstones. */
  readonly tombstonesVersion: string | undefined;
  readonly findings: readonly Finding[];
}

/** Questions under way at a time: enough to be quick with thousands of clients, too few to be a burden. */
const readConcurrency = 8;
const inspectConcurrency = 4;

const tombstonesKey = 'tombstones';

/** Throws DependencyError: from half the records no conclusion may be drawn. */
export async function surveyStore(
  records: DocumentStore,
  state: DocumentStore,
  signal: AbortSignal,
): Promise<Survey> {
  const stored = new Map<string, StoredClient>();
  const intents = new Map<string, Intent>();
  const unreadableIds = new Set<string>();
  const findings: Finding[] = [];
  const complain = (
    kind: 'record_malformed' | 'intent_malformed' | 'foreign_uri',
    id: string,
    detail: string,
  ) => {
    unreadableIds.add(id);
    findings.push(finding(kind, id, detail));
  };

  await concurrently(await records.list(signal), readConcurrency, async (id) => {
    const document = await records.read(id, signal);
    if (document === undefined) return;
    const client = readStoredClient(id, document);
    if (client === undefined)
      complain('record_malformed', id, 'its record is not a client record: it is kept as it is');
    else if (isForeign(client)) complain('foreign_uri', id, foreignUri(client));
    else stored.set(id, client);
  });
  await concurrently(await state.list(signal), readConcurrency, async (key) => {
    const id = idFromIntentKey(key);
    const document = id === undefined ? undefined : await state.read(key, signal);
    if (id === undefined || document === undefined) return;
    const intent = readIntent(id, document);
    if (intent === undefined)
      complain('intent_malformed', id, `the document ${key} of an interrupted run can't be read`);
    else intents.set(id, intent);
  });
  return { stored, intents, unreadableIds, findings, ...(await readTombstones(state, signal)) };
}

async function readTombstones(
  state: DocumentStore,
  signal: AbortSignal,
): Promise<Pick<Survey, 'tombstones' | 'tombstonesVersion'>> {
  const document = await state.read(tombstonesKey, signal);
  const since = fieldsOf(document && parseDocument(document.content)?.['since']) ?? {};
  const entries = Object.entries(since).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  );
  return { tombstones: new Map(entries), tombstonesVersion: document?.version };
}

/** Writes only what changed. If somebody else wrote meanwhile, the next run settles it. */
export async function saveTombstones(
  state: DocumentStore,
  survey: Survey,
  next: Tombstones,
  signal: AbortSignal,
): Promise<void> {
  const isSame =
    next.size === survey.tombstones.size && [...next].every(([id, at]) => survey.tombstones.get(id) === at);
  if (isSame) return;
  await state.write(
    tombstonesKey,
    formatDocument({ since: Object.fromEntries(next) }),
    survey.tombstonesVersion,
    signal,
  );
}

/** A record could be made to send its token to somebody else: its URI must be at its issuer's own origin. */
function isForeign({ issuer, registrationClientUri }: StoredClient): boolean {
  return (
    !URL.canParse(registrationClientUri) ||
    !URL.canParse(issuer) ||
    new URL(registrationClientUri).origin !== new URL(issuer).origin
  );
}

function foreignUri(client: StoredClient): string {
  return `its record would send the registration access token to another origin than ${client.issuer}: it is not used`;
}

export interface InspectionResult {
  readonly inspections: ReadonlyMap<string, Inspection>;
  readonly findings: readonly Finding[];
}

/** Asks the realms about the clients that are wanted and stored. A realm that can't tell is one finding, not thirty. */
export async function inspectClients(
  wanted: ReadonlyMap<string, DesiredClient>,
  { stored, intents }: Pick<Survey, 'stored' | 'intents'>,
  realms: ReadonlyMap<string, Realm>,
  signal: AbortSignal,
): Promise<InspectionResult> {
  const inspections = new Map<string, Inspection>();
  const findings: Finding[] = [];
  const silentRealms = new Set<string>();
  const clients = [...stored.values()].filter(({ id }) => wanted.has(id));
  await concurrently(clients, inspectConcurrency, async (client) => {
    const realm = realms.get(client.issuer);
    if (realm === undefined || silentRealms.has(realm.instance)) {
      inspections.set(client.id, { state: 'unknown' });
      return;
    }
    try {
      const looked = await inspect(client, intents.get(client.id), realm, signal);
      inspections.set(client.id, looked.inspection);
      if (looked.finding !== undefined) findings.push(looked.finding);
    } catch (error) {
      if (!isDependencyError(error)) throw error;
      inspections.set(client.id, { state: 'unknown' });
      if (silentRealms.has(realm.instance)) return;
      if (error.code !== 'failed' && error.code !== 'malformed') silentRealms.add(realm.instance);
      findings.push(
        finding('dependency_failed', realm.instance, `${client.id} can't be looked at: ${error.message}`),
      );
    }
  });
  return { inspections, findings };
}

interface Look {
  readonly inspection: Inspection;
  readonly finding?: Finding;
}

async function inspect(
  client: StoredClient,
  intent: Intent | undefined,
  realm: Realm,
  signal: AbortSignal,
): Promise<Look> {
  const { registration } = realm;
  if (client.registrationAccessToken !== undefined) {
    const read = await registration.read(client, signal);
    if (read.outcome === 'registered') return { inspection: { state: 'registered', client: read.client } };
  }
  const presence = await registration.find(client.clientId, client.clientSecret, signal);
  if (presence === 'gone') return { inspection: { state: 'gone' } };
  if (presence === 'present') return { inspection: { state: 'token_lost' } };
  // Registered anew by a run that was interrupted before it stored the new secret: creating takes that up.
  const renewed = intent?.clientSecret;
  if (renewed && (await registration.find(client.clientId, renewed, signal)) === 'present')
    return { inspection: { state: 'gone' } };
  const { kind, detail } = obstacles[presence];
  return { inspection: { state: 'unknown' }, finding: finding(kind, client.id, detail) };
}
