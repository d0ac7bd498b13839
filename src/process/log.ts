import { logValue } from './log-value.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;

export type LogLevel = (typeof levels)[number];

export type LogFields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  /** Lines below it are not written. */
  readonly level: LogLevel;
  /** Takes one line with its newline; must not block. See `createLogSink`. */
  readonly write: (line: string) => void;
  readonly now: () => number;
  /** Stands in every line, after the event: which of several processes wrote it. */
  readonly head?: Readonly<Record<string, string | number>>;
}

type Write = (event: string, fields?: LogFields) => void;

/** `event` is a fixed word, `snake_case`; what varies goes into the fields. Nothing here ever throws. */
export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  /** Shows stacks: what is logged as an error is a bug, or the end of the process. */
  readonly error: Write;
  /** Written whatever the level: decisions and audit records are switched by settings of their own. */
  readonly record: Write;
  readonly isDebug: boolean;
}

/** A line this long holds something that nobody reads. */
const maxLineLength = 32 * 1024;

/** One JSON object a line: `time` (RFC 3339, UTC), `level`, `event`, then the fields. */
export function createLog(options: LogOptions): Log {
  const threshold = levels.indexOf(options.level);
  const isDebug = options.level === 'debug';

  function writer(level: LogLevel, always = false): Write {
    if (!always && levels.indexOf(level) < threshold) return () => undefined;
    const withStack = isDebug || level === 'error';
    return (event, fields = {}) => {
      try {
        options.write(
          lineOf(
            { time: new Date(options.now()).toISOString(), level, event, ...options.head },
            fields,
            withStack,
          ),
        );
      } catch {
        // A log that throws would turn a working request into a failing one.
      }
    };
  }

  return {
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
    record: writer('info', true),
    isDebug,
  };
}

export function isLogLevel(word: string): word is LogLevel {
  return (levels as readonly string[]).includes(word);
}

function lineOf(
  head: Readonly<Record<string, string | number>>,
  fields: LogFields,
  withStack: boolean,
): string {
  const values: Record<string, unknown> = { ...head };
  for (const [name, value] of Object.entries(fields)) {
    // A field can not pass itself off as the line's own time, level or event.
    values[Object.hasOwn(head, name) ? `_${name}` : name] = logValue(value, withStack);
  }
  const line = JSON.stringify(values);
  return line.length <= maxLineLength
    ? `${line}\n`
    : `${JSON.stringify({ ...head, cutFields: Object.keys(fields).slice(0, 100), length: line.length })}\n`;
}
