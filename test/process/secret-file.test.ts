import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigMistakes } from '../../src/process/config-mistakes.ts';
import { readEnvironment } from '../../src/process/environment.ts';
import { readSecretFile } from '../../src/process/secret-file.ts';

describe('a secret in a file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tiergate-secret-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function file(text: string, mode = 0o600): string {
    const path = join(folder, 'secret');
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  }

  function read(path: string) {
    const warnings: string[] = [];
    const secret = readSecretFile(path, (words) => void warnings.push(words));
    return { text: secret.reveal(), printed: JSON.stringify({ secret }), warnings };
  }

  test.each([
    ['hunter2', 'hunter2'],
    ['hunter2\n', 'hunter2'],
    ['hunter2\r\n', 'hunter2'],
    ['hunter2\n\n', 'hunter2\n'],
    [' hunter2 \n', ' hunter2 '],
  ])('%j is %j, and unprintable', (content, text) => {
    expect(read(file(content))).toEqual({ text, printed: '{"secret":"[secret]"}', warnings: [] });
  });

  test('that everybody can read is taken with a warning', () => {
    expect(read(file('hunter2', 0o644)).warnings).toEqual([
      expect.stringContaining('can be read by everybody'),
    ]);
    expect(read(file('hunter2', 0o640)).warnings).toEqual([]);
  });

  test.each(['', '\n'])('%j is no secret', (content) => {
    expect(() => read(file(content))).toThrow(ConfigMistakes);
    expect(() => read(file(content))).toThrow(/secret: the secret is empty$/);
  });

  test('that is not there, or no file of that kind, is a mistake', () => {
    expect(() => read(join(folder, 'missing'))).toThrow(/missing: the secret can not be read \(ENOENT\)$/);
    expect(() => read(folder)).toThrow(/the secret can not be read \(EISDIR\)$/);
    expect(() => read(file('x'.repeat(65_537)))).toThrow(/is longer than 65536 bytes$/);
  });
});

describe('the environment', () => {
  test('names the process file and the level, and nothing else', () => {
    expect(readEnvironment({ CONFIG_FILE: '/etc/tg.yaml', LOG_LEVEL: 'DEBUG', REDIS_URL: 'x' })).toEqual({
      configFile: '/etc/tg.yaml',
      logLevel: 'debug',
    });
    expect(readEnvironment({ CONFIG_FILE: '', LOG_LEVEL: '' })).toEqual({});
  });

  test('with a level that is none is a mistake', () => {
    expect(() => readEnvironment({ LOG_LEVEL: 'loud' })).toThrow(ConfigMistakes);
  });
});
