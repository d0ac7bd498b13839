import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml, stringify } from 'yaml';
import { parseConfig } from '../../src/process/config.ts';
import { configSchema } from '../../src/process/config-schema.ts';
import { registrarSchema } from '../../src/process/registrar-config.ts';
import { leavesOf } from '../../src/process/schema-keys.ts';
import { expectRowTrue, readRows, type Row } from './reference-rows.ts';

/**
 * The references must say what the schema does: the same keys, defaults, units, bounds and words, and what breaks
 * at either end of each.
 */
const configuration = readRows('configuration.md');
const rows = [
  ...configuration,
  ...readRows('registrar.md').filter(({ key }) => key.startsWith('registrar.')),
];

// What limits hold is the policy document's reference.
const leaves = leavesOf(configSchema).filter(({ key }) => !key.startsWith('policy.defaultLimits.'));
const leafOf = new Map(leaves.map((leaf) => [leaf.key, leaf]));

const base = { redis: { url: 'redis://redis:6379', keySecretFile: 'key' } };

function parse(content: object) {
  return parseConfig(stringify(content), { file: 'reference', folder: '/' });
}

function examplesOf(file: string): readonly string[] {
  const text = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
  return [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, example = '']) => example);
}

describe('the references of the process file', () => {
  test('describe every key of the schema once, and none that it has not', () => {
    expect(rows.map(({ key }) => key).sort()).toEqual(leaves.map(({ key }) => key).sort());
    expect(leaves.length).toBeGreaterThan(130);
  });

  test.each(rows.map((row) => [row.key, row] as const))(
    'say what holds of %s, and what breaks',
    (key, row) => {
      const leaf = leafOf.get(key);
      if (leaf === undefined) throw new Error(`the schema has no key ${key}`);
      expectRowTrue(row, leaf);
    },
  );

  test('would be found wrong in each part of a row', () => {
    const leaf = leafOf.get('identity.ttl');
    const row = configuration.find(({ key }) => key === 'identity.ttl');
    if (leaf === undefined || row === undefined) throw new Error('identity.ttl is gone');
    const wrong: readonly Partial<Row>[] = [
      { default: '61s' },
      { values: '0s to 11m' },
      { values: '1s to 9m' },
      { values: 'a time' },
      { meaning: row.meaning.replace('*High:*', 'Long:') },
      { meaning: row.meaning.replace(/\*Low:\*.*?\*High/, '*Low:* *High') },
    ];
    for (const change of wrong) {
      expect(() => expectRowTrue({ ...row, ...change }, leaf), JSON.stringify(change)).toThrow();
    }
  });

  test('give the defaults that hold for the file as a whole', () => {
    const written: Record<string, unknown> = structuredClone(base);
    for (const { key, default: standard } of configuration) {
      // A section that is there only where it is written: its rows are held against the schema above.
      if (standard === undefined || /^(listeners\.(http|grpc\.socket)|tracing)\./.test(key)) continue;
      const path = key.split('.');
      const last = path.pop() ?? '';
      const holder = path.reduce<Record<string, unknown>>((above, step) => {
        above[step] ??= {};
        return above[step] as Record<string, unknown>;
      }, written);
      holder[last] = /^[[{]|^\d+$|^(true|false)$/.test(standard) ? parseYaml(standard) : standard;
    }
    expect(parse(written)).toEqual(parse(base));
    expect(parse({ ...base, identity: { ttl: '61s' } })).not.toEqual(parse(base));
  });

  test('show files that are valid', () => {
    const examples = examplesOf('configuration.md');
    expect(examples).toHaveLength(2);
    for (const text of examples) parseConfig(text, { file: 'example', folder: '/etc/tiergate' });
    const sections = examplesOf('registrar.md').filter((text) => text.startsWith('registrar:'));
    expect(sections).toHaveLength(1);
    for (const text of sections) {
      const { registrar } = parseYaml(text) as { readonly registrar: unknown };
      expect(registrarSchema.safeParse(registrar).error?.issues).toBeUndefined();
    }
  });
});
