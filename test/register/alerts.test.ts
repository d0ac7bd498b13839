import { existsSync, readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { createRegistrarMetrics } from '../../src/process/registrar-metrics.ts';
import { readRules, repository, rulesTestFile } from './alert-rules.ts';

const rules = readRules();

describe('the alerts of the registrar', () => {
  test('ask for metrics that the registrar has', () => {
    const registry = new Registry();
    createRegistrarMetrics({
      registry,
      integration: '',
      environment: '',
      escalation: '',
      pathOf: (name) => name,
    });
    const names = new Set(registry.getMetricsAsArray().map(({ name }) => name));
    const asked = rules.flatMap(({ expr }) => expr.match(/\b(rhidp|tiergate_registrar)_\w+/g) ?? []);
    expect(asked.length).toBeGreaterThan(20);
    expect(asked.filter((name) => !names.has(name))).toEqual([]);
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

  test('are High for prod and Medium for stage wherever it is about a token, and say whom to turn to', () => {
    const ofTokens = rules.filter(({ expr }) => expr.includes('rhidp_sso_client_iat_info'));
    expect(ofTokens).toHaveLength(12);
    for (const { alert, expr, labels, annotations } of ofTokens) {
      const environment = /environment="(prod|stage)"/.exec(expr)?.[1] ?? '';
      expect(labels['severity'], alert).toBe({ prod: 'high', stage: 'medium' }[environment]);
      expect(annotations['escalation'], alert).toBe('{{ $labels.escalation }}');
    }
  });

  test('have a test that fires and one that does not, each', () => {
    const tests = readFileSync(rulesTestFile, 'utf8');
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
