import { isDependencyError } from '../dependency-error.ts';
import type { AccessLogEntry } from './access-log-entry.ts';
import type { Slots } from './slot.ts';

/**
 * What became of the slot of a request that ended. `unknown`: told already, or its lease was over. `given_up`: the store
 * could not be reached for too long; the lease ends the slot.
 */
export type ReleaseResult = 'released' | 'unknown' | 'given_up';

export interface ReleaseSlotOptions {
  readonly release: Slots['release'];
  /** Waits; rejects to say that there is no more time. */
  readonly wait: (ms: number) => Promise<void>;
  readonly observe: (result: ReleaseResult) => void;
}

/** Together half a minute: a restart or a failover of the store. */
const pausesMs = [250, 500, 1000, 2000, 4000, 8000, 15_000];

/** The end of a request → its slot is free. Entries of requests without a slot change nothing. */
export function createReleaseSlot({ release, wait, observe }: ReleaseSlotOptions) {
  return async ({ granted }: AccessLogEntry): Promise<void> => {
    const id = granted.get('slot_id');
    if (typeof id !== 'string') return;
    for (const pauseMs of pausesMs) {
      try {
        observe(await release(id));
        return;
      } catch (error) {
        if (!isDependencyError(error)) throw error;
      }
      const isOver = await wait(pauseMs).then(
        () => false,
        () => true,
      );
      if (isOver) break;
    }
    observe('given_up');
  };
}
