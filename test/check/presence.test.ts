import { describe, expect, it } from 'vitest';
import { isDenied } from '../../src/check/outcome.ts';
import { createCheckPresence, type Presence, type TokenObjects } from '../../src/check/presence.ts';
import type { Principal } from '../../src/check/principal.ts';
import { DependencyError } from '../../src/dependency-error.ts';

const nowMs = 1_700_000_000_000;

const principal: Principal = {
  username: 'system:serviceaccount:gw-tier-free:alice',
  uid: 'u',
  groups: [],
  extra: {},
  serviceAccount: { namespace: 'gw-tier-free', name: 'alice', uid: 'u' },
  secret: { name: 'tgt-1', uid: 's' },
  issuedAtMs: nowMs - 60_000,
};
const young = { ...principal, issuedAtMs: nowMs - 29_000 };

function setUp(presence: Presence, live: boolean | Error | 'hang' = true) {
  const looks: TokenObjects[] = [];
  const check = createCheckPresence({
    isTierNamespace: (namespace) => namespace === 'gw-tier-free',
    find: () => presence,
    lookUp: (objects) => {
      looks.push(objects);
      if (live === 'hang') return new Promise(() => undefined);
      return live instanceof Error ? Promise.reject(live) : Promise.resolve(live);
    },
    spend: (_source, review) => review(),
    now: () => nowMs,
  });
  return {
    looks,
    check: (of: Principal) => check(of, { source: '127.0.0.1', deadlineAtMs: nowMs + 20 }),
    async reason(of: Principal) {
      const answer = await check(of, { source: '127.0.0.1', deadlineAtMs: nowMs + 20 });
      return isDenied(answer) ? answer.reason : 'passed';
    },
  };
}

describe('the presence of what a token stands on', () => {
  it('is looked at without waiting', () => {
    const { check, looks } = setUp('present');
    expect(check(principal)).toBe(principal);
    expect(looks).toEqual([]);
  });

  it('refuses what is absent, without asking', () => {
    const { check, looks } = setUp('absent');
    expect(check(principal)).toMatchObject({ reason: 'token_revoked' });
    expect(looks).toEqual([]);
  });

  it('refuses what is gone, without asking, however new the token', () => {
    const { check, looks } = setUp('gone');
    expect(check(young)).toMatchObject({ reason: 'token_revoked' });
    expect(looks).toEqual([]);
  });

  it('is asked for where the token is so new that the watch may be behind', async () => {
    const there = setUp('absent', true);
    expect(await there.reason(young)).toBe('passed');
    expect(there.looks).toEqual([{ serviceAccount: principal.serviceAccount, secret: principal.secret }]);
    expect(await setUp('absent', false).reason(young)).toBe('token_revoked');
  });

  it('is asked for while the watch is down, however old the token', async () => {
    expect(await setUp('unknown', true).reason(principal)).toBe('passed');
    expect(await setUp('unknown', false).reason(principal)).toBe('token_revoked');
  });

  it('is asked for once for all who wait', async () => {
    const { check, looks } = setUp('unknown');
    await Promise.all(Array.from({ length: 50 }, async () => check(principal)));
    expect(looks).toHaveLength(1);
  });

  it('can not be told while nobody answers', async () => {
    const outage = new DependencyError('kubernetes', 'unreachable');
    expect(await setUp('unknown', outage).reason(principal)).toBe('identity_unavailable');
    expect(await setUp('unknown', 'hang').reason(principal)).toBe('identity_unavailable');
    await expect(setUp('unknown', new TypeError('bug')).reason(principal)).rejects.toThrow('bug');
  });

  it('concerns tier namespaces alone', () => {
    const { check } = setUp('absent');
    const other = { ...principal, serviceAccount: { namespace: 'default', name: 'ci', uid: 'u' } };
    expect(check(other)).toBe(other);
    const { serviceAccount: _account, ...person } = principal;
    expect(check(person)).toBe(person);
  });
});
