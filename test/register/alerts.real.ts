import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { cachedDirectory } from '../real/part-directory.ts';
import { rulesFile, rulesTestFile } from './alert-rules.ts';

const promtool = join(cachedDirectory('promtool', 'debian'), 'promtool');
const run = promisify(execFile);

test('promtool takes the rules', async () => {
  const { stdout, stderr } = await run(promtool, ['check', 'rules', rulesFile]);
  expect(`${stdout}${stderr}`).toContain('SUCCESS: 17 rules found');
});

test("promtool's unit tests of the rules pass", async () => {
  const { stdout, stderr } = await run(promtool, ['test', 'rules', rulesTestFile]);
  expect(`${stdout}${stderr}`).toContain('SUCCESS');
});
