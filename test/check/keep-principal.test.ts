import { describe, expect, it } from 'vitest';
import { askedAs } from '../../src/check/access.ts';
import { createKeepPrincipal } from '../../src/check/keep-principal.ts';
import type { Principal } from '../../src/check/principal.ts';

function principal(name: string): Principal {
  return {
    username: `system:serviceaccount:tier-free:${name}`,
    uid: `uid-${name}`,
    groups: ['system:serviceaccounts', 'system:authenticated'],
    extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${name}`], team: ['red'] },
    serviceAccount: { namespace: 'tier-free', name, uid: `uid-${name}` },
    jti: name,
  };
}

describe('what is remembered of a principal', () => {
  it('is who it is, with the extra that access is asked about', () => {
    const keep = createKeepPrincipal(['team']);
    const { askedAs: _hash, ...kept } = keep(principal('ann'));
    expect(kept).toEqual({ ...principal('ann'), extra: { team: ['red'] } });
  });

  it('is kept once where tokens share it', () => {
    const keep = createKeepPrincipal([]);
    const [ann, bob] = [keep(principal('ann')), keep(principal('bob'))];
    expect(ann.groups).toBe(bob.groups);
    expect(ann.extra).toBe(bob.extra);
    expect(ann.extra).toEqual({});
  });

  it('is asked about as before it was remembered, and as nobody else', () => {
    const keep = createKeepPrincipal(['team']);
    const ann = keep(principal('ann'));
    expect(ann.askedAs).toBe(askedAs(principal('ann'), ['team']));
    expect(ann.askedAs).not.toBe(keep(principal('bob')).askedAs);
    expect(ann.askedAs).not.toBe(keep({ ...principal('ann'), extra: { team: ['blue'] } }).askedAs);
  });

  it('mixes no two lists of groups up', () => {
    const keep = createKeepPrincipal([]);
    const one = keep({ ...principal('ann'), groups: ['a', 'b'] });
    const other = keep({ ...principal('bob'), groups: ['a","b'] });
    expect([one.groups, other.groups]).toEqual([['a', 'b'], ['a","b']]);
  });
});
