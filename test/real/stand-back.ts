import { readdirSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/**
 * Gives the process, in all its threads, only what no other wants of the processor: for a part that would have a machine of
 * its own. Those that it starts inherit it.
 */
export function standBack(pid: number): void {
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      setPriority(Number(thread), constants.priority.PRIORITY_LOW);
    } catch (error) {
      // It has ended by itself.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
