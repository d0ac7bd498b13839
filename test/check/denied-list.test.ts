import { describe, expect, it } from 'vitest';
import { createDeniedList, type DeniedEntry } from '../../src/check/denied-list.ts';
import type { Principal } from '../../src/check/principal.ts';
import { createManualClock } from '../support/manual-clock.ts';

const principal: Principal = {
  username: 'system:serviceaccount:gw-tier-free:alice-1',
  uid: 'u',
  groups: [],
  extra: {},
  serviceAccount: { namespace: 'gw-tier-free', name: 'alice-1', uid: 'u' },
  jti: 'jti-1',
};

function setUp() {
  const clock = createManualClock();
  const list = createDeniedList({ now: clock.now });
  const entry = (kind: DeniedEntry['kind'], value: string): DeniedEntry => ({
    kind,
    value,
    reason: 'the laptop was stolen',
    endsAtMs: clock.now() + 1000,
  });
  return { clock, list, entry };
}

describe('the list of tiergate deny', () => {
  it('can not be told before it was had for the first time, or is known not to be readable', () => {
    const { list } = setUp();
    expect(list.check(principal, 'alice@example.com')).toMatchObject({ reason: 'identity_unavailable' });
    list.doWithout();
    expect(list.check(principal, 'alice@example.com')).toBe(principal);
  });

  it.each([
    ['user', 'alice@example.com'],
    ['user', principal.username],
    ['serviceAccount', 'gw-tier-free/alice-1'],
    ['jti', 'jti-1'],
  ] as const)('keeps out by %s %s, until its end', (kind, value) => {
    const { clock, list, entry } = setUp();
    list.replace([entry(kind, value)]);
    expect(list.check(principal, 'alice@example.com')).toMatchObject({
      reason: 'token_revoked',
      detail: 'The access token has been revoked.',
      cause: expect.stringContaining('the laptop was stolen') as string,
    });
    clock.advance(1000);
    expect(list.check(principal, 'alice@example.com')).toBe(principal);
    expect(list.size()).toBe(0);
  });

  it('does not take one kind of name for another, nor part of one', () => {
    const { list, entry } = setUp();
    list.replace([
      entry('user', 'jti-1'),
      entry('jti', 'alice@example.com'),
      entry('serviceAccount', 'gw-tier-free/alice'),
      entry('user', 'alice'),
    ]);
    expect(list.check(principal, 'alice@example.com')).toBe(principal);
    expect(list.size()).toBe(4);
  });

  it('is whole whenever it is told', () => {
    const { list, entry } = setUp();
    list.replace([entry('jti', 'jti-1')]);
    list.replace([]);
    expect(list.check(principal, 'alice@example.com')).toBe(principal);
  });
});
