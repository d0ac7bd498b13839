import { malformed } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { unexpected } from './list-objects.ts';

export interface LeaseOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  readonly namespace: string;
  readonly name: string;
  /** Of this replica, different from every other's. */
  readonly identity: string;
  /** How long a holder that says nothing still holds it, in whole seconds. */
  readonly durationSeconds: number;
  readonly now: () => number;
}

export interface Lease {
  /**
   * Takes or renews it. True: it is ours for the duration from the call on. Throws DependencyError: nobody could
   * tell, and whoever needs it must do as if it were not ours.
   */
  readonly hold: () => Promise<boolean>;
  /** Gives it back, if it is ours, so that the next need not wait. */
  readonly release: () => Promise<void>;
}

interface SeenLease {
  readonly resourceVersion: string;
  readonly holder: string;
  readonly transitions: number;
}

/**
 * Leader election on a Lease (`coordination.k8s.io/v1`), as client-go does it: another's lease has run out once it
 * has not changed for its duration by *our* clock, so that clocks need not agree. Needs get, create and update.
 */
export function createLease(options: LeaseOptions): Lease {
  const { client, namespace, name, identity, durationSeconds, now } = options;
  const collection = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`;
  const path = `${collection}/${encodeURIComponent(name)}`;
  let observed = { resourceVersion: '', atMs: 0 };

  async function read(): Promise<SeenLease | undefined> {
    const answer = await client.request({ method: 'GET', path });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw unexpected(answer);
    return readLease(answer.body);
  }

  async function write(seen: SeenLease | undefined, holder: string): Promise<boolean> {
    const time = new Date(now()).toISOString().replace('Z', '000Z');
    const isChange = seen !== undefined && seen.holder !== holder;
    const spec = {
      holderIdentity: holder,
      leaseDurationSeconds: durationSeconds,
      renewTime: time,
      ...(isChange || seen === undefined ? { acquireTime: time } : {}),
      leaseTransitions: (seen?.transitions ?? 0) + (isChange ? 1 : 0),
    };
    const metadata = {
      name,
      namespace,
      ...(seen !== undefined && { resourceVersion: seen.resourceVersion }),
    };
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
    const answer = await client.request(
      seen === undefined ? { method: 'POST', path: collection, body } : { method: 'PUT', path, body },
    );
    // Somebody else was faster, or has deleted it.
    if (answer.status === 409 || answer.status === 404) return false;
    if (answer.status !== 200 && answer.status !== 201) throw unexpected(answer);
    return true;
  }

  function hasRunOut(seen: SeenLease): boolean {
    if (observed.resourceVersion !== seen.resourceVersion) {
      observed = { resourceVersion: seen.resourceVersion, atMs: now() };
    }
    return now() - observed.atMs >= durationSeconds * 1000;
  }

  return {
    hold: async () => {
      const seen = await read();
      const isFree = seen === undefined || seen.holder === '' || seen.holder === identity || hasRunOut(seen);
      return isFree && (await write(seen, identity));
    },
    release: async () => {
      const seen = await read();
      if (seen?.holder === identity) await write(seen, '');
    },
  };
}

function readLease(body: unknown): SeenLease {
  const metadata = isRecord(body) ? body['metadata'] : undefined;
  const spec = isRecord(body) ? body['spec'] : undefined;
  const resourceVersion = isRecord(metadata) ? metadata['resourceVersion'] : undefined;
  if (typeof resourceVersion !== 'string') throw malformed('a Lease without a resource version');
  const holder = isRecord(spec) ? spec['holderIdentity'] : undefined;
  const transitions = isRecord(spec) ? spec['leaseTransitions'] : undefined;
  return {
    resourceVersion,
    holder: typeof holder === 'string' ? holder : '',
    transitions: typeof transitions === 'number' ? transitions : 0,
  };
}
