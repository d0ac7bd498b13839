import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Path of `dist/main.js`, built from the sources as they were when the run began. */
    readonly programPath: string;
  }
}

const root = join(import.meta.dirname, '../..');

/**
 * Builds what is shipped, into an installation of its own: `dist/` may be somebody else's at this moment. Takes
 * about half a second, because types are left to `npm run typecheck`.
 */
export function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'tiergate-program-'));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  execFileSync(
    process.execPath,
    [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', join(folder, 'dist')],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  cpSync(join(root, 'src/console/page'), join(folder, 'dist/console/page'), { recursive: true });
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
  for (const name of ['node_modules', 'protos']) symlinkSync(join(root, name), join(folder, name));
  project.provide('programPath', join(folder, 'dist/main.js'));
  return () => rmSync(folder, { recursive: true, force: true });
}
