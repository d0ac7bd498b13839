import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml, stringify } from 'yaml';
import { parseConfig } from '../../src/process/config.ts';
import { configSchema } from '../../src/process/config-schema.ts';
import { leafKeys } from '../../src/process/schema-keys.ts';

/** The reference must say what the schema does: the same keys, the same defaults. */
const reference = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

interface Row {
  readonly key: string;
  readonly default: string | undefined;
  readonly values: string;
  readonly meaning: string;
}

const rows = [...reference.matchAll(/^\| `([\w.]+)` \| (.+?) \| (.+?) \| (.+) \|$/gm)].map(
  ([, key = '', standard = '', values = '', meaning = '']): Row => ({
    key,
    default: standard === '—' ? undefined : standard.replaceAll('`', ''),
    values,
    meaning,
  }),
);

const base = { redis: { url: 'redis://redis:6379', keySecretFile: 'key' } };

function parse(content: object) {
  return parseConfig(stringify(content), { file: 'reference', folder: '/' });
}

describe('docs/configuration.md', () => {
  test('describes every key of the schema, and none that it has not', () => {
    // What limits hold is the policy document's reference; the registrar has one of its own (registrar.md).
    const keys = leafKeys(configSchema).filter((key) => !/^(policy\.defaultLimits|registrar)\./.test(key));
    expect(rows.map(({ key }) => key).sort()).toEqual([...keys].sort());
  });

  test('gives the defaults that hold', () => {
    const written: Record<string, unknown> = structuredClone(base);
    for (const { key, default: standard } of rows) {
      if (standard === undefined) continue;
      const path = key.split('.');
      const last = path.pop() ?? '';
      const holder = path.reduce<Record<string, unknown>>((above, step) => {
        above[step] ??= {};
        return above[step] as Record<string, unknown>;
      }, written);
      // Only a map or a list is YAML in the reference; the rest is text as it stands.
      holder[last] = /^[[{]|^\d+$|^(true|false)$/.test(standard) ? parseYaml(standard) : standard;
    }
    expect(parse(written)).toEqual(parse(base));
  });

  test('a default that is another would be noticed', () => {
    expect(parse({ ...base, identity: { ttl: '61s' } })).not.toEqual(parse(base));
  });

  test('shows files that are valid', () => {
    const examples = [...reference.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
    expect(examples).toHaveLength(2);
    for (const text of examples) parseConfig(text, { file: 'example', folder: '/etc/tiergate' });
  });
});
