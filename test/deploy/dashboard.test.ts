import { expect, test } from 'vitest';
import { readMetricsPage } from '../docs/metrics-page.ts';
import { expressionsOf, readDashboard } from './dashboard.ts';
import { metricsIn } from './metric-names.ts';

const dashboard = readDashboard();
const documented = new Set([...readMetricsPage().values()].flat().map(({ name }) => name));
const isOurs = (name: string): boolean => /^tiergate_(?!registrar_)/.test(name);

test('the dashboard asks for metrics of the contract alone', () => {
  const asked = new Set(expressionsOf(dashboard).flatMap(metricsIn));
  expect([...asked].filter((name) => !documented.has(name))).toEqual([]);
});

/** Told of elsewhere, or by another of its kind. */
const notShown = new Set([
  'tiergate_redis_up',
  'tiergate_redis_commands_total',
  'tiergate_watch_up',
  'tiergate_watch_failures_total',
  'tiergate_policy_tiers',
  'tiergate_cache_entries',
  'tiergate_log_lines_dropped_total',
  'tiergate_access_changes_total',
  'tiergate_limit_told_units_total',
  'tiergate_leases_total',
  'tiergate_access_log_streams',
  'tiergate_access_log_queued',
  'tiergate_workers',
  'tiergate_workers_ready',
  'tiergate_worker_restarts_total',
  'tiergate_issuer_swept_total',
  'tiergate_issuer_leader',
]);

test('a metric that the contract gains is shown, or said not to be', () => {
  const asked = new Set(expressionsOf(dashboard).flatMap(metricsIn));
  const missing = [...documented].filter((name) => isOurs(name) && !asked.has(name) && !notShown.has(name));
  expect(missing).toEqual([]);
});

test('each panel says what it shows, and none covers another', () => {
  const taken = new Map<string, string>();
  for (const { type, title, description, gridPos } of dashboard.panels) {
    if (type !== 'row') expect(description, title).toMatch(/\w/);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        expect(taken.get(`${x},${y}`), title).toBeUndefined();
        taken.set(`${x},${y}`, title);
      }
      expect(x, title).toBeLessThan(24);
    }
  }
});
