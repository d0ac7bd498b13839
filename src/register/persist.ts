import { type DependencyError, isDependencyError } from '../dependency-error.ts';
import { formatStoredClient, type StoredClient } from './client.ts';
import { type DocumentStore, isSameDocument } from './document-store.ts';

/** Waits between attempts to store what must not be lost; an abort ends the wait. */
export type Pause = (durationMs: number, signal: AbortSignal) => Promise<void>;

export type PersistOutcome =
  | { readonly outcome: 'stored' }
  /** The record is somebody else's by now; ours is not stored. */
  | { readonly outcome: 'conflict' }
  | { readonly outcome: 'failed'; readonly error: DependencyError };

const pausesMs: readonly number[] = [200, 1_000, 3_000];

/** Stores a record that exists nowhere else: tries again, and takes a lost answer for what the store then shows. */
export async function persist(
  records: DocumentStore,
  client: StoredClient,
  pause: Pause,
  signal: AbortSignal,
): Promise<PersistOutcome> {
  const content = formatStoredClient(client);
  for (let attempt = 0; ; attempt += 1) {
    try {
      if ((await records.write(client.id, content, client.version, signal)) !== undefined)
        return { outcome: 'stored' };
      // Refused: perhaps by our own write of a moment ago, whose answer never came.
      const found = await records.read(client.id, signal);
      const isOurs = found !== undefined && isSameDocument(found.content, content);
      return { outcome: isOurs ? 'stored' : 'conflict' };
    } catch (error) {
      if (!isDependencyError(error)) throw error;
      const pauseMs = pausesMs[attempt];
      if (pauseMs === undefined || signal.aborted) return { outcome: 'failed', error };
      await pause(pauseMs, signal);
    }
  }
}
