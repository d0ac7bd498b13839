import { describe, expect, it } from 'vitest';
import { createKeyspace, recordKey, windowKey } from '../../src/redis/keys.ts';
import { createSecret } from '../../src/secret.ts';

const { tagOf } = createKeyspace(createSecret('a key of the counters'));

describe('keys of the counters', () => {
  it('share a hash tag of 22 characters for all counters of a subject', () => {
    expect(tagOf('alice')).toMatch(/^[\w-]{22}$/);
    expect(tagOf('alice')).toBe(tagOf('alice'));
    expect(tagOf('alice')).not.toBe(tagOf('bob'));
  });

  it('can not be made without the secret', () => {
    const other = createKeyspace(createSecret('another key of the counters'));
    expect(other.tagOf('alice')).not.toBe(tagOf('alice'));
  });

  it.each(['', 'short', '15 bytes of key'])('need a secret of at least 16 bytes, not %j', (text) => {
    expect(() => createKeyspace(createSecret(text))).toThrow(TypeError);
  });

  it('name a window by scope, unit and length', () => {
    expect(windowKey('TAG', '*:requests:120000')).toBe('tg:{TAG}:w:*:requests:120000');
  });

  it('take a plain id as it is', () => {
    expect(recordKey('TAG', '6372948251936582016')).toBe('tg:{TAG}:r:6372948251936582016');
    expect(recordKey('TAG', 'a'.repeat(64))).toBe(`tg:{TAG}:r:${'a'.repeat(64)}`);
  });

  it.each(['a b', '}{', 'x\r\nFLUSHALL\r\n', '~', '', 'ü', 'a'.repeat(65), 'a'.repeat(1_000_000)])(
    'make a bounded key without special characters of the hostile id %.20j',
    (id) => {
      expect(recordKey('TAG', id)).toMatch(/^tg:\{TAG\}:r:~[\w-]{43}$/);
    },
  );

  it('differ for different ids', () => {
    const hashed = recordKey('TAG', 'a b').slice('tg:{TAG}:r:'.length);
    expect(recordKey('TAG', hashed)).not.toBe(recordKey('TAG', 'a b'));
    expect(recordKey('TAG', 'a b')).not.toBe(recordKey('TAG', 'a  b'));
  });
});
