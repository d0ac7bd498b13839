import type { ConfigMistake } from './config-text.ts';

/**
 * Every mistake of a process file, or a secret's file that can not be used. Its message is what an operator
 * reads: a mistake a line, with line and path. Never holds a value of the file that could be a secret.
 */
export class ConfigMistakes extends Error {
  readonly mistakes: readonly ConfigMistake[];

  constructor(file: string, mistakes: readonly ConfigMistake[]) {
    const lines = mistakes.map(({ path, line, message }) => {
      const where = line === undefined ? file : `${file}:${line}`;
      return path === '' ? `${where}: ${message}` : `${where}: ${path}: ${message}`;
    });
    super(lines.join('\n'));
    this.name = 'ConfigMistakes';
    this.mistakes = mistakes;
  }
}

export function isConfigMistakes(error: unknown): error is ConfigMistakes {
  return error instanceof ConfigMistakes;
}
