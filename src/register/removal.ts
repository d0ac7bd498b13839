import type { StoredClient } from './client.ts';
import { type Cluster, type ClusterHold, holdOf, idPrefixOf } from './cluster.ts';
import type { Desired } from './desired.ts';
import { type Finding, finding } from './finding.ts';

/**
 * Why a stored client may be removed. `disabled` is the owner's word and counts at once, `replaced` counts
 * when the successor is stored; the others are silence, and count only once they have lasted.
 */
export type RemovalEvidence = 'disabled' | 'replaced' | 'absent' | ClusterHold;

export interface Removal {
  readonly stored: StoredClient;
  readonly evidence: RemovalEvidence;
  /** Id of a client that must be made and stored in this very run first. */
  readonly waitsFor: string | undefined;
}

export interface RemovalOptions {
  /** How long a cluster must have been absent, not ready or without a console, in ms. */
  readonly absentAfterMs: number;
  /** How long a successor must have been stored before the old client goes, in ms; 0: in the same run. */
  readonly replacedAfterMs: number;
  /** A run removes at most this many clients, or {@link capPercent} of those stored if that is more. */
  readonly capClients: number;
  readonly capPercent: number;
  /** Lifts the cap for one run: an operator's word. */
  readonly allowMassDelete: boolean;
}

/** Since when a stored client has been without an owner, by id, in ms of Unix time. */
export type Tombstones = ReadonlyMap<string, number>;

export interface RemovalInput {
  readonly desired: Desired;
  readonly stored: ReadonlyMap<string, StoredClient>;
  /** Stored ids whose client is not known to have vanished: what may count as a successor. */
  readonly settledIds: ReadonlySet<string>;
  readonly tombstones: Tombstones;
  readonly options: RemovalOptions;
  readonly nowMs: number;
}

export interface RemovalVerdict {
  readonly removals: readonly Removal[];
  /** To be remembered for the next run. */
  readonly tombstones: Tombstones;
  readonly findings: readonly Finding[];
}

/** Which stored clients may go. An empty discovery is evidence of nothing: what is stored stays. */
export function judgeRemovals(input: RemovalInput): RemovalVerdict {
  const { desired, stored, options, nowMs } = input;
  const unwanted = [...stored.values()].filter(
    (client) => !desired.clientById.has(client.id) && !desired.unclearIds.has(client.id),
  );
  if (desired.clusters.length === 0 && unwanted.length > 0) {
    const detail = `no cluster was discovered while ${stored.size} clients are stored: nothing is removed`;
    return {
      removals: [],
      tombstones: input.tombstones,
      findings: [finding('discovery_empty', 'discovery', detail)],
    };
  }
  const removals: Removal[] = [];
  const tombstones = new Map<string, number>();
  const findings: Finding[] = [];
  for (const client of unwanted) {
    const { evidence, successor } = evidenceAbout(client.id, desired);
    const since = input.tombstones.get(client.id) ?? nowMs;
    const waitMs = waitOf(evidence, options);
    const isPending = successor !== undefined && !input.settledIds.has(successor);
    if (waitMs === 0) {
      removals.push({ stored: client, evidence, waitsFor: isPending ? successor : undefined });
    } else if (isPending) {
      // The clock of a replacement starts when there is one.
      findings.push(finding('removal_waits', client.id, `its successor ${successor} is not stored yet`));
    } else if (nowMs - since < waitMs) {
      tombstones.set(client.id, since);
      const due = new Date(since + waitMs).toISOString();
      findings.push(finding('removal_waits', client.id, `${evidence}; it may be removed from ${due} on`));
    } else {
      tombstones.set(client.id, since);
      removals.push({ stored: client, evidence, waitsFor: undefined });
    }
  }
  return { removals, tombstones, findings };
}

/** How many removals (and replacements of clients that vanished) one run may do. */
export function removalCap(storedCount: number, options: RemovalOptions): number {
  if (options.allowMassDelete) return Number.POSITIVE_INFINITY;
  return Math.max(options.capClients, Math.floor((storedCount * options.capPercent) / 100));
}

function waitOf(evidence: RemovalEvidence, options: RemovalOptions): number {
  if (evidence === 'disabled') return 0;
  return evidence === 'replaced' ? options.replacedAfterMs : options.absentAfterMs;
}

interface Evidence {
  readonly evidence: RemovalEvidence;
  readonly successor: string | undefined;
}

function evidenceAbout(id: string, desired: Desired): Evidence {
  const owner = ownerOf(id, desired.clusters);
  if (owner === undefined) return { evidence: 'absent', successor: undefined };
  if (owner.status === 'disabled') return { evidence: 'disabled', successor: undefined };
  const hold = holdOf(owner);
  if (hold !== undefined) return { evidence: hold, successor: undefined };
  const prefix = idPrefixOf(owner);
  const successor = [...desired.clientById.keys()].find((candidate) => candidate.startsWith(prefix));
  // The owner's own definition is unclear: as good as absent, for as long as that lasts.
  return successor === undefined ? { evidence: 'absent', successor } : { evidence: 'replaced', successor };
}

/** An id can't be cut apart (every part may hold dashes), but it begins with its cluster's prefix; the longest wins. */
function ownerOf(id: string, clusters: readonly Cluster[]): Cluster | undefined {
  let owner: Cluster | undefined;
  for (const cluster of clusters) {
    const prefix = idPrefixOf(cluster);
    if (id.startsWith(prefix) && prefix.length > (owner === undefined ? 0 : idPrefixOf(owner).length))
      owner = cluster;
  }
  return owner;
}
