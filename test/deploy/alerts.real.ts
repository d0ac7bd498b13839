import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { cachedDirectory } from '../real/part-directory.ts';
import { alertFiles, readRules, rulesFile, rulesTestFile } from './alert-rules.ts';
import { objectOf } from './deployment.ts';
import { kustomizeWith } from './render.ts';

const promtool = join(cachedDirectory('promtool', 'debian'), 'promtool');
const run = promisify(execFile);

describe.each(alertFiles)('the alerts of the %s', (name) => {
  test('are rules that promtool takes', async () => {
    const { stdout, stderr } = await run(promtool, ['check', 'rules', rulesFile(name)]);
    expect(`${stdout}${stderr}`).toContain(`SUCCESS: ${readRules(name).length} rules found`);
  });

  test("pass promtool's unit tests of them", async () => {
    const { stdout, stderr } = await run(promtool, ['test', 'rules', rulesTestFile(name)]);
    expect(`${stdout}${stderr}`).toContain('SUCCESS');
  });

  test('are what the Prometheus operator is given', async () => {
    const objects = await kustomizeWith('base', [
      'components/monitoring',
      'components/registrar',
      'components/registrar-monitoring',
    ]);
    const { spec } = objectOf(objects, 'PrometheusRule', `tiergate-${name}`);
    expect(spec).toEqual(parse(readFileSync(rulesFile(name), 'utf8')));
  });
});
