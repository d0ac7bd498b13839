import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Of the programs that have alerts. */
export const alertFiles = ['authorizer', 'issuer', 'registrar'] as const;

export type AlertFile = (typeof alertFiles)[number];

export function rulesFile(name: AlertFile): string {
  return `${repository}deploy/alerts/${name}.yaml`;
}

/** promtool's unit tests of them. */
export function rulesTestFile(name: AlertFile): string {
  return `${repository}deploy/alerts/${name}.test.yaml`;
}

export function readRules(name: AlertFile): readonly AlertRule[] {
  const { groups } = parse(readFileSync(rulesFile(name), 'utf8')) as {
    readonly groups: readonly { readonly rules: readonly AlertRule[] }[];
  };
  return groups.flatMap(({ rules }) => rules);
}
