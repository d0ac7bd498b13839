import type { Writable } from 'node:stream';
import type { ProcessHost } from './run-program.ts';

/** The operating system's process, where a program needs it: main.ts apart, nothing else touches the global. */
export const currentProcess: ProcessHost & { readonly stdout: Writable } = {
  on: (event, listener) => void process.on(event, listener),
  off: (event, listener) => void process.off(event, listener),
  exit: (code) => process.exit(code),
  stdout: process.stdout,
};
