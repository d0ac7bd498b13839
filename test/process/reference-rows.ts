import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { type $ZodType, safeParse } from 'zod/v4/core';
import { formatDuration, parseDuration } from '../../src/duration.ts';
import { kindOf, type Leaf } from '../../src/process/schema-keys.ts';

/** A row of a reference: `| key | default | values | what it does, and what breaks at either end |`. */
export interface Row {
  readonly key: string;
  /** As YAML; undefined where there is none. */
  readonly default: string | undefined;
  readonly values: string;
  readonly meaning: string;
}

export function readRows(file: string): readonly Row[] {
  const text = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^\| `([\w.[\]]+)` \| (.+?) \| (.+?) \| (.+) \|$/gm)].map(
    ([, key = '', standard = '', values = '', meaning = '']) => ({
      key,
      default: standard === '—' ? undefined : standard.replaceAll('`', ''),
      values,
      meaning,
    }),
  );
}

/** One row says what the schema does. Throws where it does not, with the key. */
export function expectRowTrue(row: Row, leaf: Leaf): void {
  const { schema } = leaf;
  const isTaken = (value: unknown) => safeParse(schema, value).success;
  expect(marksIn(row), row.key).toEqual(expect.arrayContaining([...marksOf(row, leaf)]));

  const absent = safeParse(schema, undefined);
  if (absent.success && absent.data !== undefined) {
    expect(safeParse(schema, yamlOf(row.default)).data, row.key).toEqual(absent.data);
  }

  if (kindOf(leaf) === 'enum') {
    const words = [...row.values.matchAll(/`([^`]+)`/g)].map(([, word]) => word);
    expect(words, row.key).toEqual(wordsOf(schema));
  }
  if (kindOf(leaf) === 'array')
    expect(row.values, row.key).toMatch(isTaken([]) ? /^list of \w+/ : /^list.*, at least one$/);
  if (row.values === 'any whole number') {
    expect([-1_000_000, 1_000_000].map(isTaken), row.key).toEqual([true, true]);
  } else if (kindOf(leaf) === 'number') {
    // A number without a word of what is counted has no unit.
    const [, min, max] = /^(\d+) to (\d+) \S+/.exec(row.values) ?? [];
    const isCounted = isTaken(Number(min)) && isTaken(Number(max));
    const isBounded = !isTaken(Number(min) - 1) && !isTaken(Number(max) + 1);
    expect({ isCounted, isBounded }, `${row.key}: ${row.values}`).toEqual({
      isCounted: true,
      isBounded: true,
    });
  }
  if (isDuration(schema)) {
    const [, min = '', max = ''] = /^(\w+) to (\w+)/.exec(row.values) ?? [];
    const minMs = parseDuration(min);
    expect({ min: isTaken(min), max: isTaken(max) }, `${row.key}: ${row.values}`).toEqual({
      min: true,
      max: true,
    });
    expect(isTaken(formatDuration(parseDuration(max) + 1)), `${row.key}: more than ${max}`).toBe(false);
    if (minMs > 0) expect(isTaken(formatDuration(minMs - 1)), `${row.key}: less than ${min}`).toBe(false);
  }
}

/** What a reader must be told at least, by the kind of value. */
function marksOf(row: Row, leaf: Leaf): readonly string[] {
  const without = row.default === undefined ? ['Without'] : [];
  const kind = isDuration(leaf.schema) ? 'number' : kindOf(leaf);
  if (kind === 'number') return [...without, 'Low', 'High'];
  if (kind === 'boolean') return [...without, 'True', 'False'];
  if (kind === 'array') return [...without, 'Few', 'Many'];
  return [...without, 'Wrong'];
}

/** `*Low:* words`, with words behind it. */
function marksIn({ meaning }: Row): readonly string[] {
  return [...meaning.matchAll(/\*(\w+):\* [^*\s][^*]{3}/g)].map(([, mark = '']) => mark);
}

function isDuration(schema: $ZodType): boolean {
  const told = safeParse(schema, 5).error?.issues[0]?.message ?? '';
  return told.includes('text with a unit');
}

/** The words that an enumeration takes. */
function wordsOf(schema: $ZodType): readonly unknown[] {
  return [...(schema._zod.values ?? [])].filter((word) => typeof word === 'string');
}

/** Only a map, a list or a quoted text is YAML in a reference; the rest is text as it stands. */
function yamlOf(written: string | undefined): unknown {
  return written !== undefined && /^[[{"]|^\d+$|^(true|false)$/.test(written) ? parseYaml(written) : written;
}
