import { isDeepStrictEqual } from 'node:util';
import type { ReportMistake } from './config-rules.ts';
import type { ConfigSections } from './config-schema.ts';

interface NotBuilt {
  /** As written in the process file. */
  readonly path: readonly string[];
  readonly value: (config: ConfigSections) => unknown;
  /** What happens today, said after "is not built yet: ". */
  readonly today: string;
}

/**
 * Keys that are typed from the start and whose capability is still to come; who builds it deletes the row.
 * Anything but their default is refused in words: a key that is silently ignored is a promise that nobody keeps.
 */
export const notBuilt: readonly NotBuilt[] = [
  // TODO(#11): the console.
  {
    path: ['listeners', 'console'],
    value: ({ listeners }) => listeners.console,
    today: 'the console is not bound',
  },
];

/** Reports every key that asks for more than is built. `defaults` is what the schema makes of an empty file. */
export function checkBuilt(config: ConfigSections, defaults: ConfigSections, report: ReportMistake): void {
  for (const { path, value, today } of notBuilt) {
    if (isDeepStrictEqual(value(config), value(defaults))) continue;
    report(path, `is not built yet: ${today}. Leave it out`);
  }
}
