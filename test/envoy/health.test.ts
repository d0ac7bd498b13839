import { expect, it } from 'vitest';
import { createHealth } from '../../src/envoy/health.ts';

it('tells a watcher that comes after the end how things are, and lets it go', () => {
  const told: unknown[] = [];
  const call = {
    request: { service: '' },
    once: () => call,
    write: (message: unknown) => told.push(message),
    end: (message?: unknown) => told.push(message, 'ended'),
  };
  const health = createHealth([]);
  health.end();
  health.implementation.Watch(call as never);
  expect(told).toEqual([{ status: 'NOT_SERVING' }, 'ended']);
});
