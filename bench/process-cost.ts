import { readdirSync, readFileSync } from 'node:fs';

/**
 * Processor time of a process with all of its threads, in microseconds. Of the scheduler's own account (proc(5),
 * `schedstat`), which is exact to the nanosecond where `stat` counts ticks of 10 ms.
 */
export function cpuMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [ran = '0'] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
      nanoseconds += Number(ran);
    } catch {
      // A thread that has ended meanwhile.
    }
  }
  return nanoseconds / 1000;
}

/** Resident memory, in bytes. */
export function residentBytes(pid: number): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
