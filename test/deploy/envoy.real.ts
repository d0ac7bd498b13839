import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { findParts } from '../real/parts.ts';

const run = promisify(execFile);
const example = join(import.meta.dirname, '../../deploy/envoy/envoy.yaml');

const validate = (file: string) =>
  run(findParts().envoy, ['--mode', 'validate', '--config-path', file], { timeout: 30_000 });

describe('the example for plain Envoy', () => {
  it('is one that Envoy takes', async () => {
    const { stdout } = await validate(example);
    expect(stdout).toContain('OK');
  });

  it('would not be with a field that Envoy does not know', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tiergate-deploy-'));
    const broken = join(folder, 'envoy.yaml');
    const text = await readFile(example, 'utf8');
    await writeFile(broken, text.replace('buffer_flush_interval', 'buffer_flush_intervall'));
    await expect(validate(broken)).rejects.toThrow('buffer_flush_intervall');
    await rm(folder, { recursive: true });
  });

  it('fails closed, tells of every request in 100 ms, and takes no path for another', async () => {
    const text = await readFile(example, 'utf8');
    for (const line of [
      'failure_mode_allow: false',
      'status_on_error: {code: ServiceUnavailable}',
      'buffer_flush_interval: 0.1s',
      'normalize_path: true',
      'merge_slashes: true',
      'path_with_escaped_slashes_action: REJECT_REQUEST',
    ]) {
      expect(text).toContain(line);
    }
  });
});
