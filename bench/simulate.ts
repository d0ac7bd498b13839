import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from '../src/check/outcome.ts';
import { loadDecisions, parseLoad } from '../src/check/load.ts';
import { createSimulation } from '../src/check/simulate.ts';
import { parsePolicyFile } from '../src/policy/parse-policy.ts';
import { createDecisionLog } from '../src/process/decision-log.ts';
import { readDecisionLog } from '../src/process/decision-log-reader.ts';
import { createLog } from '../src/process/log.ts';

/**
 * `bench/run.sh simulate [decisions]`: how long `tiergate simulate` takes for a million decisions of 2000 users, written
 * by the decision log itself and read back from a file. Must stay under 20 s.
 */
const wanted = Number(process.argv[2] ?? 1_000_000);
const mustTakeSeconds = 20;

const policyText = `
- {name: free, groups: [system:authenticated], limits: {requests: [{limit: 5, window: 2m}, {limit: 500, window: 1d}]}}
- {name: premium, level: 1, groups: [p], limits: {requests: [{limit: 20, window: 2m}], models: {"llm/big-*": {weight: 4}}}}
`;
const parsed = parsePolicyFile(policyText, {
  instance: 'gw',
  defaultLimits: 'unlimited',
  defaultTier: undefined,
});
if (!parsed.valid) throw new Error(JSON.stringify(parsed.mistakes));
const { policy } = parsed;

const folder = mkdtempSync(join(tmpdir(), 'tiergate-bench-'));
try {
  const path = join(folder, 'decisions.log');
  await writeLog(path);
  const { size } = statSync(path);
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const simulation = createSimulation({ policy });
  const { decisions } = await readDecisionLog(
    createReadStream(path, { highWaterMark: 1 << 20 }),
    simulation.add,
  );
  const result = simulation.result();
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  if (typeof result === 'string') throw new Error(result);
  const megabytes = Math.round(size / 1e6);
  const memory = Math.round(process.memoryUsage().rss / 1e6);
  console.log(
    `${decisions} decisions (${megabytes} MB, ${result.users} users) in ${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s of processor time): ${Math.round(decisions / seconds)} a second, ${memory} MB`,
  );
  console.log(`${result.total.deniedNow} of ${result.total.requests} would be denied`);
  if (decisions >= 1_000_000 && seconds > mustTakeSeconds) {
    console.error(`a million must take less than ${mustTakeSeconds} s`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}

async function writeLog(path: string): Promise<void> {
  let atMs = Date.parse('2026-11-22T00:00:00Z');
  const stream = createWriteStream(path, { highWaterMark: 1 << 20 });
  let isFull = false;
  const log = createLog({
    level: 'info',
    now: () => atMs,
    write(line) {
      isFull = !stream.write(line);
    },
  });
  const logDecision = createDecisionLog({ mode: 'all', log, random: Math.random });
  const loads = [
    parseLoad('tier=free users=1500 rate=3/1m for=1000d model=llm/llama'),
    parseLoad('tier=premium users=500 rate=10/1m for=1000d model=llm/big-qwen'),
  ];
  let count = 0;
  for (const { atMs: at, subject = '', tier = '', model = '' } of loadDecisions(loads, atMs, 7)) {
    if (count === wanted) break;
    count += 1;
    atMs = at;
    logDecision(outcomeOf(subject, tier, model), { id: `r${count}`, method: 'POST' }, 1.5);
    if (isFull) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'finish');
}

function outcomeOf(subject: string, tier: string, id: string): Outcome {
  const [namespace = '', name = ''] = id.split('/');
  const window = policy.tiers.find((one) => one.name === tier)?.windows[0];
  return {
    denied: false,
    kind: 'model',
    subject,
    tier,
    model: { namespace, name, id },
    windows: window === undefined ? [] : [{ window, remaining: 3, resetAfterMs: 120_000, exceeded: false }],
  };
}
