import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { ensureEtcdTemplate } from './kube-apiserver.ts';
import { findParts } from './parts.ts';
import { logDirectory } from './running-process.ts';

const dayMs = 86_400_000;

/** Runs before the real and soak projects: a part that can't be had fails the run here, before any test. */
export async function setup(): Promise<void> {
  execFileSync('bash', [join(import.meta.dirname, 'setup.sh')], { stdio: ['ignore', 'inherit', 'inherit'] });
  findParts();
  removeOldLogs();
  await ensureEtcdTemplate();
}

function removeOldLogs(): void {
  if (!existsSync(logDirectory)) return;
  for (const name of readdirSync(logDirectory)) {
    const path = join(logDirectory, name);
    const modifiedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (Date.now() - modifiedMs > dayMs) rmSync(path, { force: true });
  }
}
