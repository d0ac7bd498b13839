import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { registrarSchema } from '../../src/process/registrar-config.ts';
import { leafKeys } from '../../src/process/schema-keys.ts';

/** The reference must say what the schema does: the same keys, the same defaults. */
const reference = readFileSync(new URL('../../docs/registrar.md', import.meta.url), 'utf8');
const rows = [...reference.matchAll(/^\| `registrar\.([\w.]+)` \| (.+?) \| /gm)].map(
  ([, key = '', standard = '']) => ({
    key,
    default: standard === '—' ? undefined : standard.replaceAll('`', ''),
  }),
);

/** Everything that has no default, of the kinds that have defaults inside. */
const base = {
  escalation: 'x',
  requester: 'x',
  clusters: { configMap: { name: 'x' } },
  store: { kubernetes: {} },
  instances: [
    { name: 'x', environment: 'prod', issuer: 'https://x/realms/x', token: { secret: { name: 'x' } } },
  ],
};

test('docs/registrar.md describes every key of the section, and none that it has not', () => {
  expect(rows.map(({ key }) => key).sort()).toEqual([...leafKeys(registrarSchema)].sort());
});

test('docs/registrar.md gives the defaults that hold', () => {
  const inner = new Set(['clusters.ocm', 'vault.']);
  const written: Record<string, unknown> = structuredClone(base);
  for (const { key, default: standard } of rows) {
    // These stand in maps that the least section does not have.
    if (standard === undefined || [...inner].some((start) => key.startsWith(start))) continue;
    const path = key.split('.');
    const last = path.pop() ?? '';
    let holder: Record<string, unknown> = written;
    for (const step of path) holder = (holder[step] ??= {}) as Record<string, unknown>;
    holder[last] = /^[[]|^\d+$/.test(standard) ? parse(standard) : standard;
  }
  expect(registrarSchema.parse(written)).toEqual(registrarSchema.parse(base));
  expect(registrarSchema.parse({ ...base, interval: '6m' })).not.toEqual(registrarSchema.parse(base));
});

test("docs/registrar.md's example of a section is valid", () => {
  const example = /```yaml\n(registrar:\n[^`]+)```/.exec(reference)?.[1] ?? '';
  const { registrar } = parse(example) as { readonly registrar: unknown };
  expect(registrarSchema.safeParse(registrar).error?.issues).toBeUndefined();
  expect(stringify(registrar)).toContain('escalation');
});
