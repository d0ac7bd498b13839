import { createHash, randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import type { HeldToken, KeepToken, RecallToken } from '../issue/fresh-token.ts';
import { createSecret } from '../secret.ts';

export interface TokenCacheOptions {
  /** Made with 0700 if it is not there. */
  readonly folder: string;
  /** What the token is for: each part in its own place, so that no two of them meet. Nothing secret stays of it but a hash. */
  readonly key: readonly string[];
  /** Hears why a token was not kept. */
  readonly warn: (words: string) => void;
}

export interface TokenCache {
  readonly recall: RecallToken;
  readonly keep: KeepToken;
}

/** `$XDG_CACHE_HOME/tiergate/tokens`, by default under `~/.cache`. */
export function tokenCacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const base = env['XDG_CACHE_HOME'];
  return join(base !== undefined && base !== '' ? base : join(homedir(), '.cache'), 'tiergate', 'tokens');
}

/** One file for each key, readable by its owner alone. What others could have read or written is not used. */
export function createTokenCache({ folder, key, warn }: TokenCacheOptions): TokenCache {
  const name = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 32);
  const path = join(folder, `${name}.json`);

  function read(): HeldToken | undefined {
    const { mode, uid } = lstatSync(path);
    const isOwn = process.getuid === undefined || uid === process.getuid();
    if ((mode & 0o077) !== 0 || !isOwn) {
      warn(`${path} is not yours alone and is not used`);
      return undefined;
    }
    return heldFrom(JSON.parse(readFileSync(path, 'utf8')) as unknown);
  }

  return {
    recall: async () => {
      try {
        return read();
      } catch {
        // Absent, or not ours to understand: a new one takes its place.
        return undefined;
      }
    },
    keep: async ({ token, id, issuedAtMs, expiresAtMs }) => {
      const fresh = `${path}.${randomBytes(6).toString('hex')}`;
      try {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        const text = JSON.stringify({ token: token.reveal(), id, issuedAtMs, expiresAtMs });
        writeFileSync(fresh, text, { mode: 0o600, flag: 'wx' });
        // Whoever reads meanwhile reads the old one whole, or the new one.
        renameSync(fresh, path);
      } catch (error) {
        rmSync(fresh, { force: true });
        const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
        warn(`the token can not be kept in ${folder} (${code})`);
      }
    },
  };
}

function heldFrom(value: unknown): HeldToken | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { token, id, issuedAtMs, expiresAtMs } = value as Readonly<Record<string, unknown>>;
  if (typeof token !== 'string' || typeof id !== 'string') return undefined;
  if (typeof issuedAtMs !== 'number' || typeof expiresAtMs !== 'number') return undefined;
  return { token: createSecret(token), id, issuedAtMs, expiresAtMs };
}
