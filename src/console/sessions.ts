import { createHash, timingSafeEqual } from 'node:crypto';
import type { Principal } from '../check/principal.ts';

export interface SessionsOptions {
  /** Sessions at once; one more ends the one that was used longest ago. */
  readonly maxSessions: number;
  /** Without anybody at the page, in milliseconds. */
  readonly idleMs: number;
  /** From its beginning, in milliseconds; the end of the token that opened it may come first. */
  readonly lifetimeMs: number;
  /** Text of at least 128 bits that nobody can guess. */
  readonly newSecret: () => string;
  readonly now: () => number;
}

export interface Session {
  readonly principal: Principal;
  /** Sent back in a header with every request that is not a GET (RFC 6265 section 8.8: the cookie alone proves nothing). */
  readonly csrf: string;
  readonly endsAtMs: number;
}

export interface Sessions {
  /** The id goes into the cookie and is kept nowhere here but as a hash. */
  readonly open: (principal: Principal) => { readonly id: string; readonly session: Session };
  /** `isActive`: somebody is at the page, which puts off the idle end. Undefined: none, or ended. */
  readonly find: (id: string, isActive: boolean) => Session | undefined;
  readonly end: (id: string) => void;
  readonly count: () => number;
}

/** Who is logged in, in this process's memory: a restart ends every session, and no token is in any. */
export function createSessions(options: SessionsOptions): Sessions {
  const { maxSessions, idleMs, lifetimeMs, newSecret, now } = options;
  /** In the order of their last use. */
  const byHash = new Map<string, { readonly session: Session; usedAtMs: number }>();

  function sweep(nowMs: number): void {
    for (const [hash, { session, usedAtMs }] of byHash) {
      if (nowMs >= session.endsAtMs || nowMs - usedAtMs >= idleMs) byHash.delete(hash);
    }
  }

  return {
    open(principal) {
      const nowMs = now();
      sweep(nowMs);
      const [oldest] = byHash.keys();
      if (byHash.size >= maxSessions && oldest !== undefined) byHash.delete(oldest);
      const id = newSecret();
      const endsAtMs = Math.min(nowMs + lifetimeMs, principal.expiresAtMs ?? Number.POSITIVE_INFINITY);
      const session = { principal, csrf: newSecret(), endsAtMs };
      byHash.set(hashOf(id), { session, usedAtMs: nowMs });
      return { id, session };
    },
    find(id, isActive) {
      const nowMs = now();
      sweep(nowMs);
      const hash = hashOf(id);
      const found = byHash.get(hash);
      if (found === undefined) return undefined;
      if (isActive) {
        found.usedAtMs = nowMs;
        byHash.delete(hash);
        byHash.set(hash, found);
      }
      return found.session;
    },
    end: (id) => void byHash.delete(hashOf(id)),
    count: () => byHash.size,
  };
}

/** In constant time, whatever the lengths. */
export function isSameSecret(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function hashOf(id: string): string {
  return digest(id).toString('base64');
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
