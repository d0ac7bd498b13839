import { describe, expect, it } from 'vitest';
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
    expect(keep(principal('ann'))).toEqual({ ...principal('ann'), extra: { team: ['red'] } });
  });

  it('is kept once where tokens share it', () => {
    const keep = createKeepPrincipal([]);
    const [ann, bob] = [keep(principal('ann')), keep(principal('bob'))];
    expect(ann.groups).toBe(bob.groups);
    expect(ann.extra).toBe(bob.extra);
    expect(ann.extra).toEqual({});
  });

  it('mixes no two lists of groups up', () => {
    const keep = createKeepPrincipal([]);
    const one = keep({ ...principal('ann'), groups: ['a', 'b'] });
    const other = keep({ ...principal('bob'), groups: ['a","b'] });
    expect([one.groups, other.groups]).toEqual([['a', 'b'], ['a","b']]);
  });
});
