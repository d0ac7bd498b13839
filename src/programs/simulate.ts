import { createReadStream, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Load, loadDecisions, parseLoad, strangeTier } from '../check/load.ts';
import { createSimulation, type RunningSimulation } from '../check/simulate.ts';
import { simulationChart } from '../check/simulation-chart.ts';
import { loadConfig, parseConfig } from '../process/config.ts';
import { currentProcess } from '../process/current-process.ts';
import { type DecisionLogReading, readDecisionLog } from '../process/decision-log-reader.ts';
import { readPolicyDocument } from './policy-document.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf } from './run-server.ts';
import { simulationLines } from './simulation-text.ts';
import { readUsersFile } from './users-file.ts';

const usage = `usage: tiergate simulate --policy FILE --log FILE [options]
       tiergate simulate --policy FILE --load 'tier=free users=200 rate=3/1m for=1h model=llm/llama' [options]

Who would have been denied by a policy document: the decision log of the past, or a load that you describe, counted anew
with the limiter's own windows. The log must hold what passed: log.decisions: all, or {sample: N}, which is weighted.

  --policy FILE   the document to try out, or a manifest of its ConfigMap
  --log FILE      decision log, a JSON object a line; - is standard input. Several logs: sort them together (sort FILE...)
  --load TEXT     so many users, each at that rate; may be given several times
  --users FILE    JSON {"user": ["group", ...]}: then their tiers are those of the document, not those of the log
  --svg FILE      the chart, as a picture
  --json          everything as JSON
  --config FILE   a process file, for its policy and instance settings

Not simulated: leases (which let pass the same), token budgets, open requests, and what a client does when it is denied.
Exit code: 0 done, 1 nothing can be said by such a log, 64 wrong arguments, 78 the document or a file is wrong.`;

const options = {
  policy: { type: 'string' },
  log: { type: 'string' },
  load: { type: 'string', multiple: true },
  users: { type: 'string' },
  svg: { type: 'string' },
  json: { type: 'boolean' },
  config: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseArgs<{ readonly options: typeof options }>>['values'];

/** A load is the same each time it is asked for. */
const loadSeed = 1;

/** `tiergate simulate`: a policy document tried on the past. */
export const simulate: Program = async (args, io) => {
  try {
    const { values } = parseArgs({ args: [...args], options });
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    const { policy: policyFile, log, load } = values;
    if (policyFile === undefined || (log === undefined) === (load === undefined)) {
      io.err(usage);
      return exitCode.usage;
    }
    const loads = loadsOf(load);
    if (typeof loads === 'string') {
      io.err(loads);
      return exitCode.usage;
    }
    const config =
      values.config === undefined
        ? parseConfig('limits: {store: memory}', { file: 'defaults', folder: '.' })
        : loadConfig(values.config);
    const groups = values.users === undefined ? undefined : readUsersFile(values.users);
    const policy = readPolicyDocument(policyFile, config);
    const strange = strangeTier(loads, policy);
    if (strange !== undefined) {
      io.err(`--load: ${strange}`);
      return exitCode.usage;
    }
    const simulation = createSimulation({
      policy,
      ...(groups !== undefined && { groupsOf: (user) => groups.get(user) }),
    });
    return await run(simulation, { values, loads, io });
  } catch (error) {
    return exitCodeOf(error, io);
  }
};

function loadsOf(texts: readonly string[] = []): readonly Load[] | string {
  try {
    return texts.map(parseLoad);
  } catch (error) {
    if (error instanceof RangeError) return `--load: ${error.message}`;
    throw error;
  }
}

interface Running {
  readonly values: Values;
  readonly loads: readonly Load[];
  readonly io: ProgramIo;
}

async function run(simulation: RunningSimulation, { values, loads, io }: Running): Promise<number> {
  for (const decision of loadDecisions(loads, Date.now(), loadSeed)) simulation.add(decision);
  const reading = values.log === undefined ? undefined : await readLog(values.log, simulation, io);
  if (typeof reading === 'string') {
    io.err(reading);
    return exitCode.config;
  }
  const result = simulation.result();
  if (typeof result === 'string') {
    io.err(result);
    return exitCode.failed;
  }
  if (values.svg !== undefined) writeFileSync(values.svg, simulationChart(result));
  if (values.json === true) io.out(JSON.stringify({ ...result, ...(reading && { log: reading }) }, null, 2));
  else for (const line of simulationLines(result)) io.out(line);
  for (const note of result.notes) io.err(`note: ${note}`);
  return exitCode.done;
}

/** What was read, or why it could not be. */
async function readLog(
  path: string,
  simulation: RunningSimulation,
  io: ProgramIo,
): Promise<DecisionLogReading | string> {
  try {
    const chunks = path === '-' ? currentProcess.stdin : createReadStream(path, { highWaterMark: 1 << 20 });
    const reading = await readDecisionLog(chunks, simulation.add);
    const { unreadable, firstUnreadable } = reading;
    if (unreadable > 0) {
      io.err(
        `note: ${unreadable === 1 ? '1 line is no log line and was' : `${unreadable} lines are no log lines and were`} passed over: line ${firstUnreadable.join(', ')}${unreadable > firstUnreadable.length ? ', …' : ''}`,
      );
    }
    return reading;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return `${path}: the log can not be read (${code})`;
  }
}
