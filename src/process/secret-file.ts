import { readFileSync, statSync } from 'node:fs';
import { createSecret, type Secret } from '../secret.ts';
import { ConfigMistakes } from './config-mistakes.ts';

/** No password or key is longer; whoever names another file by mistake should hear of it. */
const maxBytes = 64 * 1024;

/**
 * The secret that a file holds, without the one newline that editors put at its end. Throws ConfigMistakes when
 * there is none to be had. `warn` hears of a file that others on the machine can read; that is only a
 * warning since a Secret mounted without `defaultMode` looks like that.
 */
export function readSecretFile(path: string, warn: (words: string) => void): Secret {
  let text: string;
  try {
    const { mode, size } = statSync(path);
    if (size > maxBytes)
      throw new ConfigMistakes(path, [{ path: '', message: `is longer than ${maxBytes} bytes` }]);
    if ((mode & 0o007) !== 0) warn(`${path} can be read by everybody on this machine: chmod o-rwx`);
    text = readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    if (error instanceof ConfigMistakes) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
    throw new ConfigMistakes(path, [{ path: '', message: `the secret can not be read (${code})` }]);
  }
  if (text === '') throw new ConfigMistakes(path, [{ path: '', message: 'the secret is empty' }]);
  return createSecret(text);
}
