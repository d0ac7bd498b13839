import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { cachedDirectory } from '../real/part-directory.ts';
import { expressionsOf, readDashboard } from './dashboard.ts';

const run = promisify(execFile);
const promtool = join(cachedDirectory('promtool', 'debian'), 'promtool');

/** promtool parses rules: each expression as one. */
async function check(expressions: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-dashboard-'));
  try {
    const file = join(folder, 'rules.yaml');
    const rules = expressions.map((expr, at) => ({ record: `panel:${at}`, expr }));
    await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    const { stdout } = await run(promtool, ['check', 'rules', file]);
    return stdout;
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('every expression of the dashboard is one that Prometheus takes', async () => {
  const expressions = expressionsOf(readDashboard());
  expect(await check(expressions)).toContain(`SUCCESS: ${expressions.length} rules found`);
});

test('one with a mistake would not be', async () => {
  await expect(check(['sum by (tier (rate(tiergate_checks_total[5m]))'])).rejects.toThrow('parse error');
});
