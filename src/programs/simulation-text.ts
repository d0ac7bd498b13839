import type { NamedTally, Simulation, Tally } from '../check/simulation.ts';
import { formatDuration } from '../duration.ts';

/** Users of whom nothing changes are not worth a line. */
const mostLines = 10;
const barWidth = 40;

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A simulation for a terminal, a line each. */
export function simulationLines(simulation: Simulation): readonly string[] {
  const { decisions, from, to, total, unaffected, byTier, byUser, byModel, deniedBy, users } = simulation;
  const others = Object.entries(unaffected);
  return [
    `${counted(decisions, 'decision')} from ${from} to ${to}, ${counted(total.requests, 'request')} of ${counted(users, 'user')} that a limit decides`,
    '',
    tallyHead,
    tallyLine('all', total),
    ...section('tier', byTier),
    ...section('model', byModel),
    ...section(
      'user',
      byUser.filter(({ newlyDenied, newlyAllowed, deniedNow }) => newlyDenied + newlyAllowed + deniedNow > 0),
    ),
    ...(deniedBy.length === 0 ? [] : ['', 'Denied by']),
    ...deniedBy.slice(0, mostLines).map(({ tier, scope, unit, windowMs, limit, denied }) => {
      const of = scope === '*' ? '' : ` for ${scope}`;
      return `  ${String(denied).padStart(9)}  ${limit} ${unit} in ${formatDuration(windowMs)}${of}, tier ${tier}`;
    }),
    '',
    ...bars(simulation),
    ...(others.length === 0
      ? []
      : [
          '',
          `Denied for other reasons, then as now: ${others.map(([reason, count]) => `${reason} ${count}`).join(', ')}`,
        ]),
  ];
}

const columns = ['requests', 'denied then', 'denied now', 'newly denied', 'newly passed'] as const;
const tallyHead = `${''.padEnd(30)}${columns.map((name) => name.padStart(14)).join('')}`;

function tallyLine(
  name: string,
  { requests, deniedThen, deniedNow, newlyDenied, newlyAllowed }: Tally,
): string {
  const counts = [requests, deniedThen, deniedNow, newlyDenied, newlyAllowed];
  const shown = name.length > 29 ? `${name.slice(0, 28)}…` : name;
  return `${shown.padEnd(30)}${counts.map((count) => String(count).padStart(14)).join('')}`;
}

function section(kind: string, tallies: readonly NamedTally[]): readonly string[] {
  return tallies.slice(0, mostLines).map(({ name, ...tally }) => tallyLine(`${kind} ${name}`, tally));
}

/** At most 24 bars of requests, what would be denied as `#`. */
function bars({ timeline: { buckets, bucketMs } }: Simulation): readonly string[] {
  const each = Math.max(1, Math.ceil(buckets.length / 24));
  const grouped: { atMs: number; requests: number; deniedNow: number }[] = [];
  for (const [at, { atMs, requests, deniedNow }] of buckets.entries()) {
    if (at % each === 0) grouped.push({ atMs, requests: 0, deniedNow: 0 });
    const group = grouped.at(-1);
    if (group === undefined) continue;
    group.requests += requests;
    group.deniedNow += deniedNow;
  }
  const most = Math.max(1, ...grouped.map(({ requests }) => requests));
  return [
    `A bar for ${formatDuration(bucketMs * each)}, # would be denied`,
    ...grouped.map(({ atMs, requests, deniedNow }) => {
      const length = Math.round((requests / most) * barWidth);
      const denied = deniedNow === 0 ? 0 : Math.max(1, Math.round((deniedNow / most) * barWidth));
      const bar = `${'#'.repeat(denied)}${'-'.repeat(Math.max(0, length - denied))}`;
      return `  ${new Date(atMs).toISOString().slice(0, 19)}  ${bar.padEnd(barWidth)} ${deniedNow} of ${requests}`;
    }),
  ];
}
