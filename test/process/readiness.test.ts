import { describe, expect, test } from 'vitest';
import { createReadiness, type PartState, type ReadinessStatus } from '../../src/process/readiness.ts';

function observed() {
  const parts: (readonly [string, PartState])[] = [];
  const statuses: ReadinessStatus[] = [];
  const readiness = createReadiness({
    gating: ['policy', 'watches'],
    others: ['redis'],
    onPart: (part, state) => void parts.push([part, state]),
    onStatus: (status) => void statuses.push(status),
  });
  return { readiness, parts, statuses };
}

describe('readiness', () => {
  test('comes when every gating part was ready once, and not before', () => {
    const { readiness, statuses } = observed();
    expect(readiness.isReady()).toBe(false);
    readiness.ready('policy');
    readiness.ready('redis');
    readiness.degraded('watches', 'the API server can not be reached');
    expect(readiness.isReady()).toBe(false);
    readiness.ready('watches');
    expect(readiness.isReady()).toBe(true);
    expect(statuses).toEqual(['ready']);
  });

  test('does not wait for the other parts', () => {
    const { readiness } = observed();
    readiness.degraded('redis', 'refused');
    readiness.ready('policy');
    readiness.ready('watches');
    expect(readiness.isReady()).toBe(true);
  });

  test('stays when a dependency goes, which shows as degraded', () => {
    const { readiness } = observed();
    for (const part of ['policy', 'watches', 'redis'] as const) readiness.ready(part);
    readiness.degraded('watches', 'serviceaccounts: connection lost');
    readiness.degraded('redis', 'refused');
    expect(readiness.isReady()).toBe(true);
    expect(readiness.report()).toEqual({
      status: 'ready',
      parts: {
        policy: { state: 'ready' },
        watches: { state: 'degraded', detail: 'serviceaccounts: connection lost' },
        redis: { state: 'degraded', detail: 'refused' },
      },
    });
  });

  test('counts a part that was ready and went before the others came', () => {
    const { readiness } = observed();
    readiness.ready('watches');
    readiness.degraded('watches', 'gone');
    readiness.ready('policy');
    expect(readiness.isReady()).toBe(true);
  });

  test('ends with stopping, for good', () => {
    const { readiness, statuses } = observed();
    readiness.ready('policy');
    readiness.stopping();
    readiness.stopping();
    readiness.ready('watches');
    expect(readiness.isReady()).toBe(false);
    expect(readiness.report().status).toBe('stopping');
    expect(statuses).toEqual(['stopping']);
  });

  test('tells of changes only', () => {
    const { readiness, parts } = observed();
    readiness.degraded('redis', 'refused');
    readiness.degraded('redis', 'refused');
    readiness.degraded('redis', 'hung');
    readiness.ready('redis');
    readiness.ready('redis');
    expect(parts).toEqual([
      ['redis', { state: 'degraded', detail: 'refused' }],
      ['redis', { state: 'degraded', detail: 'hung' }],
      ['redis', { state: 'ready' }],
    ]);
  });
});
