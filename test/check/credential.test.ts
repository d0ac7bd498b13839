import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createReadCredential } from '../../src/check/credential.ts';
import { isDenied } from '../../src/check/outcome.ts';
import { createSecret } from '../../src/secret.ts';
import { checkInput } from '../support/check-input.ts';

const readCredential = createReadCredential({ headers: ['authorization', 'x-api-key'] });

function read(headers: Readonly<Record<string, string>>): string {
  const credential = readCredential(checkInput({ headers }));
  return isDenied(credential) ? credential.reason : credential.reveal();
}

describe('the credential of a request', () => {
  it.each([
    [{ authorization: 'Bearer a.b.c' }, 'a.b.c'],
    [{ authorization: 'bearer  a.b.c ' }, 'a.b.c'],
    [{ 'x-api-key': 'a.b.c' }, 'a.b.c'],
    [{ authorization: 'Bearer a.b.c', 'x-api-key': 'a.b.c' }, 'a.b.c'],
    [{}, 'credential_missing'],
    [{ 'x-other': 'a.b.c' }, 'credential_missing'],
    [{ authorization: 'Basic YTpi' }, 'credential_malformed'],
    [{ authorization: 'Bearer' }, 'credential_malformed'],
    [{ authorization: 'Bearer ' }, 'credential_malformed'],
    [{ authorization: '' }, 'credential_malformed'],
    [{ authorization: 'Bearer a b' }, 'credential_malformed'],
    [{ authorization: 'Bearer a.b.c,Bearer d.e.f' }, 'credential_malformed'],
    [{ authorization: 'Bearer a.b.c,Bearer a.b.c' }, 'credential_malformed'],
    [{ authorization: 'Bearer a.b.c', 'x-api-key': 'd.e.f' }, 'credential_malformed'],
    [{ 'x-api-key': 'a,b' }, 'credential_malformed'],
    [{ authorization: `Bearer ${'a'.repeat(16_385)}` }, 'credential_malformed'],
    [{ authorization: 'Bearer a\u0000b' }, 'credential_malformed'],
  ])('in %j is %s', (headers, expected) => {
    expect(read(headers)).toBe(expected);
  });

  it('never says in a denial what was sent', () => {
    const denial = readCredential(checkInput({ headers: { authorization: 'Basic c2VjcmV0OnNlY3JldA==' } }));
    expect(inspect(denial, { depth: 9 })).not.toContain('c2Vj');
  });
});

describe('a secret', () => {
  const secret = createSecret('the-token');

  it.each([
    ['a template', `the token is ${secret as unknown as string}`],
    ['concatenation', 'the token is ' + (secret as unknown as string)],
    ['JSON', JSON.stringify({ secret })],
    ['inspect', inspect({ secret }, { depth: 9, showHidden: true })],
    ['a spread', inspect({ ...secret })],
    ['an error', inspect(new Error('x', { cause: { secret } }))],
  ])('does not show in %s', (_name, shown) => {
    expect(shown).not.toContain('the-token');
  });

  it('shows itself to whoever asks by name', () => {
    expect(secret.reveal()).toBe('the-token');
  });
});
