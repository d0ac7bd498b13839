import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { describeMachine } from './machine.ts';
import { printVerdicts, writeResults } from './results.ts';
import { createSuites } from './suites.ts';
import type { Effort } from './suite.ts';
import { startWorld } from './world.ts';

/**
 * `npm run bench -- [--only NAME,NAME] [--quick] [--rounds N] [--seconds N] [--out FOLDER]`: measures, prints, and writes
 * RESULTS.md, JSON and plots. What was not measured this time stays in the results as it was.
 */
const usage = 'npm run bench -- [--only NAME,NAME] [--quick] [--rounds N] [--seconds N] [--out FOLDER]';
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    out: { type: 'string', default: 'bench' },
  },
});
const effort: Effort = {
  rounds: Number(values.rounds ?? (values.quick ? 2 : 7)),
  seconds: Number(values.seconds ?? (values.quick ? 1 : 3)),
};

/** Not of a whole run: what needs others' binaries, and a rate at which nothing more is seen. */
const onDemand = new Set(['rivals', 'slow']);

const startedAtMs = performance.now();
console.error('starting Redis, the embedded Kubernetes API and its people ...');
const world = await startWorld({
  people: [
    ...['leased', 'exact', 'three', 'tokens', 'unlimited', 'full'].map((tier) => ({
      tier,
      subjects: 10,
      tokensEach: 1,
    })),
    { tier: 'spread', subjects: 1000, tokensEach: 1 },
    { tier: 'cold', subjects: effort.rounds * 40, tokensEach: 1 },
  ],
  models: 1000,
});
try {
  const suites = await createSuites(world);
  const names = values.only?.split(',') ?? Object.keys(suites).filter((name) => !onDemand.has(name));
  const unknown = names.filter((name) => suites[name] === undefined);
  if (unknown.length > 0) {
    throw new Error(`no suite ${unknown.join(', ')}; there are: ${Object.keys(suites).join(', ')}\n${usage}`);
  }
  const machine = describeMachine();
  const commit = execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], {
    encoding: 'utf8',
  }).trim();
  for (const name of names) {
    const suite = suites[name];
    if (suite === undefined) continue;
    console.error(`${name}:`);
    try {
      const result = await suite(effort);
      writeResults(values.out, {
        ...result,
        name,
        commit,
        machine,
        effort,
        measuredAt: new Date().toISOString(),
      });
      printVerdicts(result);
    } catch (error) {
      // One that fails costs nobody the others.
      console.error(`${name} failed:`, error);
      process.exitCode = 1;
    }
  }
  console.error(
    `${((performance.now() - startedAtMs) / 60_000).toFixed(1)} minutes; results in ${values.out}/RESULTS.md`,
  );
} finally {
  await world.stop();
}
