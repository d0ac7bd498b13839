import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { denialStatus } from '../../src/check/denial.ts';
import { codeOf, type Document, documents, root } from './documents.ts';
import { readMetricsPage } from './metrics-page.ts';

function page(path: string): Document {
  const found = documents.find((document) => document.path === path);
  if (found === undefined) throw new Error(`${path} is gone`);
  return found;
}

/** The contract (docs/metrics.md) is held against the programs by test/program/metrics-contract.test.ts. */
const metrics = new Set([...readMetricsPage().values()].flat().map(({ name }) => name));

/** `tiergate_reviews_total{kind,result}` and the like, wherever they stand as code; what a histogram has is its own. */
function metricsIn(document: Document): readonly string[] {
  return codeOf(document)
    .flatMap((code) => Array.from(code.matchAll(/(?<![@$\w])(?:tiergate|rhidp)_[a-z_]*[a-z]\b(?![*…])/g)))
    .map(([name]) => name.replace(/_(?:bucket|sum|count)$/, ''));
}

interface RuleFile {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert?: string;
      readonly annotations?: { readonly runbook: string };
    }[];
  }[];
}

describe('what the documents name', () => {
  it('are metrics of the contract', () => {
    const named = documents.flatMap((document) =>
      metricsIn(document).map((name) => ({ in: document.path, name })),
    );
    expect(named.length).toBeGreaterThan(150);
    expect(named.filter(({ name }) => !metrics.has(name))).toEqual([]);
  });

  it('are reasons of a denial, each with its status, in the README or the API', () => {
    const rows = [page('README.md'), page('docs/api.md')].flatMap(({ text }) =>
      Array.from(text.matchAll(/^\| (?:`[a-z_, `]+` \| (\d{3}) \||([\d, ]+) \| `[a-z_, `]+` \|).*$/gm)),
    );
    const told = rows.flatMap(([row, after = '', before = '']) =>
      [...row.matchAll(/`([a-z]+_[a-z_]+|throttled|overloaded|internal)`/g)].map(([, reason = '']) => ({
        reason,
        statuses: `${after}${before}`.split(', ').map(Number),
      })),
    );
    expect(told.filter(({ reason }) => !Object.hasOwn(denialStatus, reason))).toEqual([]);
    const untold = Object.entries(denialStatus).filter(
      ([reason, { http }]) => !told.some((row) => row.reason === reason && row.statuses.includes(http)),
    );
    expect(untold).toEqual([]);
  });

  it('are alerts, each at the runbook that it leads to', () => {
    const folder = join(root, 'deploy/alerts');
    const files = readdirSync(folder).filter((name) => /^[a-z-]+\.yaml$/.test(name));
    const alerts = files.flatMap((name) => {
      const { groups } = parse(readFileSync(join(folder, name), 'utf8')) as RuleFile;
      return groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
    });
    const index = page('docs/runbooks/README.md').text.split('\n');
    const untold = alerts.filter(({ alert, annotations }) => {
      const file = annotations?.runbook.replace('docs/runbooks/', '') ?? '';
      return !index.some((row) => row.includes(`](${file})`) && row.includes(`\`${alert}\``));
    });
    expect(alerts.length).toBeGreaterThan(20);
    expect(untold).toEqual([]);
    const told = index.flatMap((row) => Array.from(row.matchAll(/`([A-Z]\w+)`/g), ([, name]) => name));
    expect(told.filter((name) => !alerts.some(({ alert }) => alert === name))).toEqual([]);
  });
});
