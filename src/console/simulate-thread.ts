import { parentPort, workerData } from 'node:worker_threads';
import { type Load, loadDecisions, parseLoad, strangeTier } from '../check/load.ts';
import { createSimulation, type RunningSimulation } from '../check/simulate.ts';
import type { PolicyOptions } from '../policy/create-policy.ts';
import type { Policy } from '../policy/policy.ts';
import { parsePolicyFile } from '../policy/parse-policy.ts';
import { readDecisionLog } from '../process/decision-log-reader.ts';
import { notFields, parseFields } from './request-body.ts';
import type { SimulateAnswer, SimulateQuestion } from './simulate-route.ts';

/** A simulation in a thread of its own: whoever is on a request's way does not wait for it. */

/** Done in some ten seconds; who imagines more has the command. */
const mostImagined = 500_000;
const loadSeed = 1;

async function answer({ bytes, policyOptions }: SimulateQuestion): Promise<SimulateAnswer> {
  const fields = parseFields(bytes);
  if (fields === undefined) return { refused: notFields };
  const { policy, log, load } = fields;
  if (typeof policy !== 'string' || policy.trim() === '') {
    return { refused: 'policy must be the text of a policy document.' };
  }
  if (typeof log === 'string' && typeof load !== 'string') return simulate(policy, policyOptions, { log });
  if (typeof load === 'string' && typeof log !== 'string') return simulate(policy, policyOptions, { load });
  return { refused: 'Give either log or load, as text.' };
}

/** A decision log, a JSON object a line; or loads (load.ts), one a line. */
type Requests = { readonly log: string } | { readonly load: string };

async function simulate(
  policy: string,
  policyOptions: PolicyOptions,
  requests: Requests,
): Promise<SimulateAnswer> {
  const parsed = parsePolicyFile(policy, policyOptions);
  if (!parsed.valid) {
    const mistakes = parsed.mistakes.map(({ line, path, message }) =>
      [line === undefined ? '' : `line ${line}`, path, message].filter((part) => part !== '').join(': '),
    );
    return { refused: `The document is not valid: ${mistakes.join('; ')}` };
  }
  const simulation = createSimulation({ policy: parsed.policy });
  const refused = 'load' in requests ? addLoads(simulation, requests.load, parsed.policy) : undefined;
  if (refused !== undefined) return { refused };
  if ('log' in requests) await readDecisionLog(chunksOf(requests.log), simulation.add);
  const result = simulation.result();
  return typeof result === 'string' ? { refused: `${result}.` } : { result };
}

/** In words what is wrong with them, if anything is. */
function addLoads(simulation: RunningSimulation, text: string, policy: Policy): string | undefined {
  let loads: readonly Load[];
  try {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    loads = lines.map(parseLoad);
  } catch (error) {
    if (error instanceof RangeError) return `${error.message}.`;
    throw error;
  }
  const strange = strangeTier(loads, policy);
  if (strange !== undefined) return `${strange}.`;
  const requests = loads.reduce(
    (sum, { users, ratePerMs, durationMs }) => sum + users * ratePerMs * durationMs,
    0,
  );
  if (requests > mostImagined) {
    return `That load has some ${Math.round(requests)} requests, more than ${mostImagined}: try tiergate simulate.`;
  }
  for (const decision of loadDecisions(loads, Date.now(), loadSeed)) simulation.add(decision);
  return undefined;
}

async function* chunksOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

parentPort?.postMessage(await answer(workerData as SimulateQuestion), []);
