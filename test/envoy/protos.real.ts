import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { findParts } from '../real/parts.ts';
import { newerFields } from './proto-roots.ts';

describe('fields that are newer than the protos of the development dependency', () => {
  test('are declared so by the Envoy that the tests run', async () => {
    const envoy = await readFile(findParts().envoy);
    for (const { descriptor, field } of newerFields) {
      expect(envoy.includes(Buffer.from(descriptor, 'latin1')), field).toBe(true);
    }
    expect(envoy.includes(Buffer.from('\n\x10is_negative_hits\x18\x05 \x01(\x08', 'latin1'))).toBe(false);
  });
});
