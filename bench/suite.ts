import type { Load, Measurement } from './measure.ts';
import { measure } from './measure.ts';
import { type Ratio, ratioOfPairs } from './statistics.ts';
import type { Gateway } from './envoy.ts';
import type { Answerer, World } from './world.ts';

/** How long and how often is measured. */
export interface Effort {
  /** Rounds of alternation; each contender is measured once in each. */
  readonly rounds: number;
  readonly seconds: number;
}

/** Something that is measured against others, in turns. */
export interface Contender {
  readonly name: string;
  /** Absent: Envoy alone. */
  readonly answerer?: Answerer | undefined;
  readonly gateway?: Gateway | undefined;
  readonly load: (seconds: number) => Load;
  /** What share of the answers denies; else the run fails. Default 0. */
  readonly denied?: number;
}

export interface Row {
  readonly name: string;
  /** In the order of the rounds. */
  readonly rounds: readonly Measurement[];
}

/** A bound that is to be shown, and whether it holds. */
export interface Verdict {
  /** As the issue numbers it. */
  readonly must: string;
  readonly words: string;
  readonly ratio: Ratio;
  readonly bound: { readonly atLeast: number } | { readonly atMost: number };
}

export interface SuiteResult {
  readonly title: string;
  readonly words: string;
  readonly rows: readonly Row[];
  readonly verdicts: readonly Verdict[];
  /** What is no load: named numbers with their unit. */
  readonly figures?: readonly Figure[];
}

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

export type Suite = (effort: Effort) => Promise<SuiteResult>;

/** Each contender once to warm up, then all of them round after round, each round beginning with another one. */
export async function inTurns(
  world: World,
  contenders: readonly Contender[],
  { rounds, seconds }: Effort,
): Promise<readonly Row[]> {
  const measured = new Map<string, Measurement[]>(contenders.map(({ name }) => [name, []]));
  for (const contender of contenders) await run(world, contender, Math.min(5, seconds * 2));
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(round + turn) % contenders.length];
      if (contender === undefined) continue;
      const found = await measureOne(world, contender, seconds);
      measured.get(contender.name)?.push(found);
      say(contender.name, found);
    }
  }
  return contenders.map(({ name }) => ({ name, rounds: measured.get(name) ?? [] }));
}

/** On a machine that is busy otherwise, deadlines pass. What is beyond that is no measurement. */
const mostWrong = 0.05;

async function measureOne(world: World, contender: Contender, seconds: number): Promise<Measurement> {
  const { name, denied = 0 } = contender;
  const found = await run(world, contender, seconds);
  const wrong = Math.abs(found.denied / found.requests - denied);
  const words = `${name}: ${(wrong * 100).toFixed(1)} % of the answers were not what they had to be`;
  if (wrong > mostWrong) throw new Error(words);
  if (wrong > 0) console.error(`  ${words}: the machine is too busy`);
  return found;
}

function run(world: World, { answerer, gateway, load }: Contender, seconds: number): Promise<Measurement> {
  return measure(load(seconds), {
    pids: {
      ...(answerer !== undefined && { authorizer: answerer.pid }),
      ...(gateway !== undefined && { envoy: gateway.pid, upstream: world.upstreamPid }),
      redis: world.redisPid,
      'API server': world.clusterPid,
    },
    answerer,
  });
}

function say(name: string, { perSecond, p50, p99, cpu }: Measurement): void {
  const us = (cpu['authorizer'] ?? Number.NaN).toFixed(0);
  console.error(
    `  ${name.padEnd(34)} ${perSecond.toFixed(0).padStart(6)}/s  p50 ${p50.toFixed(2)} p99 ${p99.toFixed(2)} ms  ${us} us of the authorizer`,
  );
}

/** The ratio of two rows, round by round. */
export function ratio(
  rows: readonly Row[],
  [measured, reference]: readonly [measured: string, reference: string],
  of: (measurement: Measurement) => number,
): Ratio {
  const valuesOf = (name: string) => rows.find((row) => row.name === name)?.rounds.map(of) ?? [];
  return ratioOfPairs(valuesOf(measured), valuesOf(reference));
}

export interface Shown extends Pick<Verdict, 'must' | 'words' | 'bound'> {
  /** Names of rows: what is measured, and what it is measured by. */
  readonly of: string;
  readonly to: string;
  readonly by: (measurement: Measurement) => number;
}

export function verdict(rows: readonly Row[], { must, words, of, to, by, bound }: Shown): Verdict {
  return { must, words, ratio: ratio(rows, [of, to], by), bound };
}

export const perSecond = (measurement: Measurement): number => measurement.perSecond;
export const p99 = (measurement: Measurement): number => measurement.p99;
export const authorizerCpu = (measurement: Measurement): number =>
  measurement.cpu['authorizer'] ?? Number.NaN;

export function holds({ ratio: { median }, bound }: Verdict): boolean {
  return 'atLeast' in bound ? median >= bound.atLeast : median <= bound.atMost;
}
