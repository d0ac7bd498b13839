/** What a program may use of the process it runs in. */
export interface ProgramIo {
  /** One line to standard output. */
  readonly out: (line: string) => void;
  /** One line to standard error. */
  readonly err: (line: string) => void;
  /** All of standard input, as text; for what must never stand in an argument. */
  readonly readInput: () => Promise<string>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * A command of `tiergate`: arguments after its name → exit code (sysexits.h: 0 done, 64 wrong arguments, 69 a
 * dependency is away, 70 a bug, 77 one may not, 78 wrong configuration). A server resolves when it has stopped.
 */
export type Program = (args: readonly string[], io: ProgramIo) => Promise<number>;

export const exitCode = {
  done: 0,
  failed: 1,
  /** What was asked can not be told. */
  unknown: 2,
  usage: 64,
  unavailable: 69,
  software: 70,
  noPermission: 77,
  config: 78,
} as const;
