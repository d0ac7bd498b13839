import { describe, expect, test } from 'vitest';
import type { DenialReason } from '../../src/check/denial.ts';
import type { Allowed, Refused } from '../../src/check/outcome.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { createDecisionLog, type DecisionMode } from '../../src/process/decision-log.ts';
import { createLog } from '../../src/process/log.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { checkInput } from '../support/check-input.ts';

const window: WindowLimit = { scope: '*', unit: 'requests', windowMs: 120_000, limit: 5, mode: 'enforce' };
const known = {
  subject: 'alice',
  tier: 'free',
  model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
};
const allowed: Allowed = {
  denied: false,
  kind: 'model',
  ...known,
  windows: [{ window, remaining: 4, resetAfterMs: 1000, exceeded: false }],
};

function refused(reason: DenialReason, more: Partial<Refused> = {}): Refused {
  return { denied: true, reason, detail: 'No.', ...more };
}

function logging(mode: DecisionMode, random: () => number = () => 0) {
  const lines: string[] = [];
  const log = createLog({ level: 'error', write: (line) => void lines.push(line), now: () => 0 });
  const logDecision = createDecisionLog({ mode, log, random });
  return {
    logDecision,
    lines,
    objects: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

const request = checkInput({
  path: '/llm/llama/v1/chat/completions?secret=hunter2',
  headers: { authorization: 'Bearer hunter2' },
});

describe('a line', () => {
  test('of a request that passed', () => {
    const { logDecision, objects } = logging('all');
    logDecision(allowed, request, 1.234_567);
    expect(objects()).toEqual([
      {
        time: '1970-01-01T00:00:00.000Z',
        level: 'info',
        event: 'decision',
        decision: 'allowed',
        route: 'model',
        subject: 'alice',
        tier: 'free',
        model: 'llm/llama',
        method: 'POST',
        requestId: '1234',
        durationMs: 1.235,
        windows: [
          {
            scope: '*',
            unit: 'requests',
            windowMs: 120_000,
            limit: 5,
            mode: 'enforce',
            remaining: 4,
            resetAfterMs: 1000,
            exceeded: false,
          },
        ],
      },
    ]);
  });

  test('of a denial holds what was known by then, the reason and the cause', () => {
    const { logDecision, objects } = logging('denials');
    const cause = new DependencyError('redis', 'timeout');
    logDecision(refused('limit_unavailable', { ...known, retryAfterMs: 1000, cause }), request, 50);
    expect(objects()).toEqual([
      expect.objectContaining({
        decision: 'denied',
        reason: 'limit_unavailable',
        subject: 'alice',
        retryAfterMs: 1000,
        cause: { name: 'DependencyError', message: 'redis timeout', code: 'timeout' },
      }),
    ]);
  });

  test("of a bug leaves its cause to the line of the door's fault", () => {
    const { logDecision, objects } = logging('denials');
    logDecision(refused('internal', { cause: new TypeError('oops') }), request, 1);
    expect(objects()).toHaveLength(1);
    expect(objects()[0]).toMatchObject({ event: 'decision', reason: 'internal' });
    expect(objects()[0]).not.toHaveProperty('cause');
  });

  test('holds no path, no header and no detail', () => {
    const { logDecision, lines } = logging('all');
    logDecision(allowed, request, 1);
    logDecision(refused('token_rejected'), request, 1);
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toMatch(/hunter2|completions|No\./);
  });
});

describe('which outcomes', () => {
  test('denials: those, and nothing of what passed', () => {
    const { logDecision, objects } = logging('denials');
    logDecision(allowed, request, 1);
    logDecision(refused('no_tier'), request, 1);
    expect(objects().map(({ reason }) => reason)).toEqual(['no_tier']);
  });

  test('sample: every denial, and of what passed one in so many, each line with its weight', () => {
    let draw = 0;
    const { logDecision, objects } = logging({ sample: 10 }, () => {
      draw += 1;
      return (draw % 10) / 10;
    });
    for (let count = 0; count < 1000; count += 1) logDecision(allowed, request, 1);
    logDecision(refused('no_tier'), request, 1);
    const lines = objects();
    const passed = lines.filter(({ decision }) => decision === 'allowed');
    expect(passed).toHaveLength(100);
    expect(passed.reduce((sum, { sample }) => sum + Number(sample), 0)).toBe(1000);
    expect(lines.at(-1)).toMatchObject({ decision: 'denied', sample: 1 });
  });

  test('without sampling no line claims a weight', () => {
    const { logDecision, objects } = logging('all');
    logDecision(allowed, request, 1);
    expect(objects()[0]).not.toHaveProperty('sample');
  });
});
