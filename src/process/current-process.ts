import type { Readable, Writable } from 'node:stream';
import type { ProcessHost } from './run-program.ts';

/** The operating system's process, where a program needs it: main.ts apart, nothing else touches the global. */
export const currentProcess: ProcessHost & { readonly stdin: Readable; readonly stdout: Writable } = {
  on: (event, listener) => void process.on(event, listener),
  off: (event, listener) => void process.off(event, listener),
  exit: (code) => process.exit(code),
  // Opened by whoever reads it, and nobody else.
  get stdin() {
    return process.stdin;
  },
  stdout: process.stdout,
};
