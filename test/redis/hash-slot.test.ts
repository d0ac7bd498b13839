import { describe, expect, it } from 'vitest';
import { slotOfTag } from '../../src/redis/hash-slot.ts';

describe('the slot of a hash tag', () => {
  // The first is the check value of CRC-16/XMODEM, the others are what CLUSTER KEYSLOT answers.
  it.each([
    ['123456789', 0x31c3],
    ['foo', 12_182],
    ['hello', 866],
    ['', 0],
    ['_b-LHKzT1XjgYtDkEQQ1fQ', 12_115],
  ])('is that of Redis Cluster for %j', (tag, slot) => {
    expect(slotOfTag(tag)).toBe(slot);
  });
});
