import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readMetricsPage } from '../docs/metrics-page.ts';
import { alertFiles, readRules, repository, rulesTestFile } from './alert-rules.ts';
import { metricsIn } from './metric-names.ts';

const documented = new Set([...readMetricsPage().values()].flat().map(({ name }) => name));

describe.each(alertFiles)('the alerts of the %s', (name) => {
  const rules = readRules(name);

  test('ask for metrics of the contract alone', () => {
    for (const { alert, expr } of rules) {
      const asked = metricsIn(expr);
      expect(asked, alert).not.toEqual([]);
      expect(
        asked.filter((metric) => !documented.has(metric)),
        alert,
      ).toEqual([]);
    }
  });

  test('say how bad it is, how soon somebody must act, and lead to a runbook that exists', () => {
    for (const { alert, labels, annotations } of rules) {
      expect(['high', 'medium'], alert).toContain(labels['severity']);
      expect(['soon', 'urgent', 'stopped'], alert).toContain(labels['urgency']);
      const runbook = annotations['runbook'] ?? '';
      expect(existsSync(`${repository}${runbook}`), `${alert}: ${runbook}`).toBe(true);
      expect(readFileSync(`${repository}${runbook}`, 'utf8'), alert).toContain(alert);
    }
  });

  test('have a test that fires and one that does not, each', () => {
    const tests = readFileSync(rulesTestFile(name), 'utf8');
    for (const { alert } of rules) {
      const blocks = tests.split(`alertname: ${alert}\n`).slice(1);
      const isQuiet = (block: string): boolean => /^ +eval_time: \S+\n +exp_alerts: \[\]/.test(block);
      expect(blocks.some(isQuiet), `${alert} is never expected to be quiet`).toBe(true);
      expect(
        blocks.some((block) => !isQuiet(block)),
        `${alert} is never expected to fire`,
      ).toBe(true);
    }
  });
});
