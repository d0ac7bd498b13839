import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/longest-first.ts';

/**
 * Projects, told apart by file name: `*.test.ts` hermetic (no network but loopback, nothing to install), those of
 * test/program/ and test/programs/ with whole programs, `*.real.ts` against the real parts of test/real/,
 * `*.real-alone.ts` those that measure how long something takes, `*.soak.ts` for what takes longer than a minute,
 * `*.vault.ts` for the real Vault.
 */
export default defineConfig({
  test: {
    // Many tests wait for a process, a socket or a timer: one more than fit on two processors.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // What a run has compiled is kept under node_modules, by content: a third of the processor time of the next one.
    experimental: { fsModuleCache: true },
    projects: [
      {
        test: {
          name: 'hermetic',
          include: ['test/**/*.test.ts'],
          exclude: ['test/program/**', 'test/programs/**'],
          // For what hangs; a busy machine is no mistake.
          testTimeout: 30_000,
          hookTimeout: 30_000,
          // Modules are loaded once for each worker, not for each file: two thirds of the time were that.
          isolate: false,
        },
      },
      {
        test: {
          name: 'program',
          // They start whole programs, beside compilers perhaps.
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
          include: ['test/program/**/*.test.ts', 'test/programs/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          globalSetup: ['test/program/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'real',
          include: ['test/**/*.real.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
          globalSetup: ['test/program/global-setup.ts', 'test/real/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'real-alone',
          include: ['test/**/*.real-alone.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          // After all others.
          sequence: { groupOrder: 2 },
          globalSetup: ['test/program/global-setup.ts', 'test/real/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'soak',
          include: ['test/**/*.soak.ts'],
          testTimeout: 1_800_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          globalSetup: ['test/program/global-setup.ts', 'test/real/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'vault',
          include: ['test/**/*.vault.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
