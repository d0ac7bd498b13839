export interface TopSubject {
  readonly subject: string;
  /** Of its newest outcome. */
  readonly tier: string | undefined;
  /** About: see `createTopSubjects`. */
  readonly requests: number;
  readonly denied: number;
}

export interface TopSubjectsOptions {
  /** Subjects counted at once in each minute. */
  readonly maxSubjects: number;
  /** How far back it looks. */
  readonly minutes: number;
  readonly now: () => number;
}

export interface TopSubjects {
  /** `weight`: for how many requests this one stands. */
  readonly observe: (outcome: {
    readonly subject: string;
    readonly tier: string | undefined;
    readonly denied: boolean;
    readonly weight: number;
  }) => void;
  /** The busiest first. */
  readonly top: (most: number) => readonly TopSubject[];
}

interface Cell {
  tier: string | undefined;
  requests: number;
  denied: number;
}

interface Minute {
  readonly startedAtMs: number;
  readonly cells: Map<string, Cell>;
}

const minuteMs = 60_000;

/**
 * Who asks most, of the last minutes, in bounded memory: a Space-Saving sketch for each minute (Metwally, Agrawal,
 * El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005). Where more subjects ask
 * than are counted, a newcomer takes the place and the count of the one that asked least: whoever has more than
 * 1/maxSubjects of all requests of a minute is in it, and no count is too low.
 */
export function createTopSubjects(options: TopSubjectsOptions): TopSubjects {
  const { maxSubjects, minutes, now } = options;
  let kept: Minute[] = [];

  function currentMinute(): Minute {
    const nowMs = now();
    const last = kept.at(-1);
    if (last !== undefined && nowMs >= last.startedAtMs && nowMs - last.startedAtMs < minuteMs) return last;
    const minute = { startedAtMs: nowMs, cells: new Map<string, Cell>() };
    kept = [...kept.filter(({ startedAtMs }) => isRecent(startedAtMs, nowMs)), minute];
    return minute;
  }

  function isRecent(startedAtMs: number, nowMs: number): boolean {
    return startedAtMs <= nowMs && nowMs - startedAtMs < minutes * minuteMs;
  }

  function cellOf(cells: Map<string, Cell>, subject: string): Cell {
    const found = cells.get(subject);
    if (found !== undefined) return found;
    let requests = 0;
    if (cells.size >= maxSubjects) {
      const [least, cell] = leastOf(cells);
      cells.delete(least);
      ({ requests } = cell);
    }
    const cell = { tier: undefined, requests, denied: 0 };
    cells.set(subject, cell);
    return cell;
  }

  return {
    observe({ subject, tier, denied, weight }) {
      const cell = cellOf(currentMinute().cells, subject);
      cell.tier = tier ?? cell.tier;
      cell.requests += weight;
      if (denied) cell.denied += weight;
    },
    top(most) {
      const sums = new Map<string, Cell>();
      const nowMs = now();
      for (const { startedAtMs, cells } of kept) {
        if (!isRecent(startedAtMs, nowMs)) continue;
        for (const [subject, { tier, requests, denied }] of cells) {
          const sum = sums.get(subject) ?? { tier, requests: 0, denied: 0 };
          sum.tier = tier ?? sum.tier;
          sum.requests += requests;
          sum.denied += denied;
          sums.set(subject, sum);
        }
      }
      return [...sums]
        .map(([subject, { tier, requests, denied }]) => ({ subject, tier, requests, denied }))
        .toSorted((a, b) => b.requests - a.requests)
        .slice(0, most);
    },
  };
}

function leastOf(cells: ReadonlyMap<string, Cell>): [string, Cell] {
  let least: [string, Cell] | undefined;
  for (const entry of cells) if (least === undefined || entry[1].requests < least[1].requests) least = entry;
  if (least === undefined) throw new TypeError('a sketch without a place');
  return least;
}
