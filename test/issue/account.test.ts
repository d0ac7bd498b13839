import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { accountName, tierOfNamespace } from '../../src/issue/account.ts';

/** Of any code points. Not `unit: 'binary'`: that lists all million of them first, which takes more than a second. */
const anyText = fc
  .array(
    fc.integer({ min: 0, max: 0x10ffff }).filter((codePoint) => codePoint < 0xd800 || codePoint > 0xdfff),
    { maxLength: 20 },
  )
  .map((codePoints) => String.fromCodePoint(...codePoints));

describe('the name of an account', () => {
  it.each([
    ['alice', 'alice-522b276a'],
    ['alice@example.com', 'alice-example-com-fc2398a7'],
    ['Alice@Example.com', 'alice-example-com-022ffe69'],
    ['kube:admin', 'kube-admin-81378af5'],
    ['a'.repeat(80), `${'a'.repeat(54)}-86f33652`],
  ])('of %s is the one that MaaS gave', (user, name) => {
    expect(accountName(user)).toBe(name);
  });

  it('is there for users without a letter or digit, too', () => {
    expect(accountName('---')).toMatch(/^user-[0-9a-f]{8}$/);
    expect(accountName('名')).toMatch(/^user-[0-9a-f]{8}$/);
  });

  it('is a DNS-1123 label whatever the user is called', () => {
    fc.assert(
      fc.property(anyText, (user) => {
        expect(accountName(user)).toMatch(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
      }),
    );
  });
});

describe('the tier of a namespace', () => {
  it.each([
    ['maas-tier-free', 'free'],
    ['maas-tier-free-trial', 'free-trial'],
    ['maas-tier-', undefined],
    ['maas', undefined],
    ['other-tier-free', undefined],
    ['x-maas-tier-free', undefined],
  ])('%s is %s', (namespace, tier) => {
    expect(tierOfNamespace('maas', namespace)).toBe(tier);
  });
});
