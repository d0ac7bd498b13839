import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where a setup script left a part whose folder is `<part>-<version>` with one version from versions.env;
 * throws, naming the script to run, when it is not there.
 */
export function partDirectory(part: string, versionKey: string): string {
  const text = readFileSync(join(import.meta.dirname, 'versions.env'), 'utf8');
  const version = new RegExp(`^${versionKey}=(\\S+)$`, 'm').exec(text)?.[1];
  if (version === undefined) throw new Error(`versions.env has no ${versionKey}`);
  return cachedDirectory(part, version);
}

/** The same of a part whose version is whatever its source gives. */
export function cachedDirectory(part: string, version: string): string {
  const directory = join(cacheDirectory(), `${part}-${version}`);
  if (!existsSync(directory)) throw new Error(`${directory} is not there: run test/real/setup-${part}.sh`);
  return directory;
}

/** The same place as in common.sh. */
function cacheDirectory(): string {
  const own = process.env['TIERGATE_CACHE'];
  if (own) return own;
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'tiergate');
}
