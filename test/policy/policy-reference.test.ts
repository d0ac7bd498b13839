import { describe, expect, test } from 'vitest';
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
});
