import type { Sweep, Swept } from './sweep.ts';

/** Port: whether this replica leads, for at least the next interval. Throws DependencyError: nobody could tell. */
export type HoldLease = () => Promise<boolean>;

export interface SweeperOptions {
  readonly holdLease: HoldLease;
  readonly sweep: Sweep;
  /** Between the end of one pass and the beginning of the next, in milliseconds. */
  readonly intervalMs: number;
  readonly reportSwept: (swept: Swept) => void;
  /** A pass that failed; the next one goes on where it stopped. */
  readonly reportFault: (error: unknown) => void;
}

export interface Sweeper {
  /** Waits for a pass at work. Safe to call twice. */
  readonly stop: () => Promise<void>;
}

/** Sweeps now and then as long as this replica leads. */
export function startSweeper(options: SweeperOptions): Sweeper {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  let pass: Promise<void> = Promise.resolve();

  async function sweepOnce(): Promise<void> {
    try {
      if (await options.holdLease()) options.reportSwept(await options.sweep());
    } catch (error) {
      options.reportFault(error);
    }
    if (!isStopped) timer = setTimeout(begin, options.intervalMs);
  }

  function begin(): void {
    pass = sweepOnce();
  }

  begin();
  return {
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await pass;
    },
  };
}
