import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { documentSchema } from '../../src/policy/document.ts';
import { leavesOf } from '../../src/process/schema-keys.ts';
import { expectRowTrue, readRows } from '../process/reference-rows.ts';

/**
 * docs/policy.md must say what the schema of the policy document does, as that of the process file. Windows are
 * described once, at `limits.tokens`; what a model, a team and a capacity have of them is the same.
 */
const rows = readRows('policy.md');
const units = '(?:requests|tokens|inputTokens|outputTokens|concurrency)';
const repeated = new RegExp(`^limits\\.(?:shared\\.${units}|(?:inputTokens|outputTokens)\\[\\])`);
const leaves = new Map(
  leavesOf(documentSchema)
    .filter(({ key }) => key.startsWith('tiers[].'))
    .map(({ key, schema }) => ({ key: key.slice('tiers[].'.length), schema }))
    .filter(({ key }) => !repeated.test(key))
    .map((leaf) => [leaf.key, leaf]),
);

describe('the reference of the policy document', () => {
  test('describes every key of a tier once, and none that it has not', () => {
    expect(rows.map(({ key }) => key).sort()).toEqual([...leaves.keys()].sort());
    expect(rows.length).toBeGreaterThan(20);
  });

  test.each(rows.map((row) => [row.key, row] as const))(
    'says what holds of %s, and what breaks',
    (key, row) => {
      const leaf = leaves.get(key);
      if (leaf === undefined) throw new Error(`the schema has no key ${key}`);
      expectRowTrue(row, leaf);
    },
  );

  test('and the README show tiers that are valid', () => {
    const shown = ['README.md', 'docs/policy.md', 'docs/migration-from-maas.md'].flatMap((path) => {
      const text = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
      const blocks = text.matchAll(/^( *)```yaml\n([\s\S]*?)^ *```/gm);
      return Array.from(blocks, ([, indent = '', block = '']) =>
        block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      );
    });
    const tiers = shown.map((text) => parse(text) as unknown).filter((found) => Array.isArray(found));
    expect(tiers.length).toBeGreaterThanOrEqual(3);
    for (const list of tiers) expect(documentSchema.safeParse({ tiers: list }).error?.issues).toBeUndefined();
  });
});
