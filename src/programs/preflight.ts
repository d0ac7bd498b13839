import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { loadConnection } from '../kubernetes/connection.ts';
import type { Config } from '../process/config.ts';
import { isConfigMistakes } from '../process/config-mistakes.ts';
import { readSecretFile } from '../process/secret-file.ts';
import { createKeyspace } from '../redis/keys.ts';
import { kubeconfigOf, readPolicyFile } from './load-policy.ts';

/** Paths of files by their key. */
type NamedFiles = Readonly<Record<string, string | undefined>>;

/**
 * What the process file names besides itself: kubeconfig, policy document, keys, certificates. Every mistake at
 * once, a line each, none with what a file holds. Nothing is started and nobody is asked. `grpc` is the door of
 * whoever binds it, and `console` the operators' page: another program may not even have their files.
 */
export async function preflight(
  config: Config,
  { grpc, console }: Partial<Pick<Config['listeners'], 'grpc' | 'console'>> = {},
): Promise<readonly string[]> {
  const { redis } = config;
  const { source } = config.policy;
  const mistakes: string[] = [];

  /** `place` is said where the fault itself does not name what it is about. */
  async function look(place: string, at: () => unknown): Promise<void> {
    try {
      await at();
    } catch (error) {
      mistakes.push(isConfigMistakes(error) ? error.message : `${place}${wordsOf(error)}`);
    }
  }

  await look('', () => loadConnection(kubeconfigOf(config)));
  if (source.kind === 'file') await look('', () => readPolicyFile(source.path, config));
  if (redis !== undefined) {
    const { keySecretFile } = redis;
    await look(`${keySecretFile}: `, () => createKeyspace(readSecretFile(keySecretFile, () => undefined)));
  }
  const sentinel = redis?.place.kind === 'sentinel' ? redis.place : undefined;
  for (const path of [
    redis?.usernameFile,
    redis?.passwordFile,
    sentinel?.usernameFile,
    sentinel?.passwordFile,
  ]) {
    if (path !== undefined) await look('', () => readSecretFile(path, () => undefined));
  }
  const { ca, cert, key } = redis?.tls ?? {};
  await lookAtTls('redis.tls', { ca, cert, key }, look);
  await lookAtTls('listeners.grpc.tls', { ...grpc?.tls }, look);
  if (console?.enabled === true) await lookAtTls('listeners.console.tls', { ...console.tls }, look);
  return mistakes;
}

async function lookAtTls(
  section: string,
  files: NamedFiles,
  look: (place: string, at: () => unknown) => Promise<void>,
): Promise<void> {
  const texts: Record<string, string> = {};
  const named = Object.entries(files).filter((entry): entry is [string, string] => entry[1] !== undefined);
  for (const [name, path] of named) {
    await look(`${section}.${name}: `, () => {
      texts[name] = readFileSync(path, 'utf8');
    });
  }
  // Whether they are what they should be, and belong together, can be told once all are there.
  if (named.length === 0 || Object.keys(texts).length < named.length) return;
  await look(`${section}: `, () => {
    const { ca, clientCa, cert, key } = texts;
    createSecureContext({ ca: ca ?? clientCa, cert, key });
  });
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, syscall, path } = error as NodeJS.ErrnoException;
  return syscall === undefined ? error.message : `${path ?? 'the file'} can not be read (${code})`;
}
