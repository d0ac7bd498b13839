import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { findParts } from './parts.ts';

const run = promisify(execFile);

/**
 * etcd's data as a fresh API server leaves them once it is ready: on a copy the next one finds its some hundred own
 * objects instead of making them. Beside etcd's program, thus of its version, and of this version of what starts it.
 */
function templatePath(): string {
  const source = readFileSync(join(import.meta.dirname, 'kube-apiserver.ts'));
  const hash = createHash('sha256').update(source).digest('hex').slice(0, 16);
  return join(dirname(findParts().etcd), `etcd-template-${hash}`);
}

export function hasEtcdTemplate(): boolean {
  return existsSync(templatePath());
}

/** Nothing where there is no template: etcd then begins empty. */
export async function copyEtcdTemplate(to: string): Promise<void> {
  const template = templatePath();
  if (existsSync(template)) await copySparsely(template, to);
}

/** `from` is the data of an etcd that has ended. Whoever is first keeps theirs; nobody ever sees half of one. */
export async function keepEtcdTemplate(from: string): Promise<void> {
  const template = templatePath();
  const directory = await mkdtemp(`${template}-`);
  try {
    await copySparsely(from, join(directory, 'data'));
    await rename(join(directory, 'data'), template);
  } catch (cause) {
    if (!existsSync(template)) throw cause;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Of the 64 MB that etcd sets aside for its log next to nothing is written. */
async function copySparsely(from: string, to: string): Promise<void> {
  await run('cp', ['-r', '--sparse=always', from, to]);
}
