import { defineConfig } from 'vitest/config';

/**
 * Projects, told apart by file name: `*.test.ts` hermetic (no network but loopback, nothing to install), those of
 * test/program/ and test/programs/ with whole programs, `*.real.ts` against the real parts of test/real/, `*.soak.ts`
 * for what takes longer than a minute, `*.vault.ts` for the real Vault.
 */
export default defineConfig({
  test: {
    // All processors: many tests wait for a process of their own.
    maxWorkers: '100%',
    projects: [
      {
        test: {
          name: 'hermetic',
          include: ['test/**/*.test.ts'],
          exclude: ['test/program/**', 'test/programs/**'],
          testTimeout: 10_000,
          hookTimeout: 20_000,
          // Modules are loaded once for each worker, not for each file: two thirds of the time were that.
          isolate: false,
        },
      },
      {
        test: {
          name: 'program',
          include: ['test/program/**/*.test.ts', 'test/programs/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 30_000,
          globalSetup: ['test/program/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'real',
          include: ['test/**/*.real.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
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
          globalSetup: ['test/real/global-setup.ts'],
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
