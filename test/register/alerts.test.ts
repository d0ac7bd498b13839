import { describe, expect, test } from 'vitest';
import { readRules } from '../deploy/alert-rules.ts';

describe('the alerts of the registrar', () => {
  test('are High for prod and Medium for stage wherever it is about a token, and say whom to turn to', () => {
    const ofTokens = readRules('registrar').filter(({ expr }) => expr.includes('rhidp_sso_client_iat_info'));
    expect(ofTokens).toHaveLength(12);
    for (const { alert, expr, labels, annotations } of ofTokens) {
      const environment = /environment="(prod|stage)"/.exec(expr)?.[1] ?? '';
      expect(labels['severity'], alert).toBe({ prod: 'high', stage: 'medium' }[environment]);
      expect(annotations['escalation'], alert).toBe('{{ $labels.escalation }}');
    }
  });
});
