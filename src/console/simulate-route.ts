import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Simulation } from '../check/simulation.ts';
import { denied } from '../check/outcome.ts';
import type { PolicyOptions } from '../policy/create-policy.ts';
import type { Route } from './console.ts';
import { type Refusal, refusal, refusalFrom } from './refusal.ts';

export interface SimulateQuestion {
  /** The body of the request. */
  readonly bytes: Uint8Array;
  readonly policyOptions: PolicyOptions;
}

export type SimulateAnswer = { readonly result: Simulation } | { readonly refused: string };

/** Some forty thousand decisions; who has more has the command. */
const maxBodyBytes = 8 * 1024 * 1024;
const timeoutMs = 30_000;
/** What the most imagined requests need; beside the heap of the authorizer it has room in a pod of deploy/. */
const maxHeapMegabytes = 192;

/**
 * `POST /api/simulate`, `{policy, log | load}`: who would have been denied by a document. One at a time, in a thread of
 * its own with a bound of its own: an authorizer has other things to do.
 */
export function createSimulateRoute(policyOptions: PolicyOptions): Route {
  let isBusy = false;
  return {
    method: 'POST',
    path: '/api/simulate',
    right: 'look',
    maxBodyBytes,
    takesBytes: true,
    async handle({ bytes }) {
      if (isBusy) return refusal('busy', 'Another simulation is under way; one runs at a time.');
      isBusy = true;
      try {
        return await run({ bytes, policyOptions });
      } finally {
        isBusy = false;
      }
    },
  };
}

async function run(question: SimulateQuestion): Promise<Simulation | Refusal> {
  const thread = new Worker(new URL(`simulate-thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: question,
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMegabytes },
  });
  const late = setTimeout(() => void thread.terminate(), timeoutMs);
  try {
    const answer = await new Promise<SimulateAnswer | undefined>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', () => resolve(undefined));
    });
    if (answer === undefined) {
      return refusal('busy', `That takes longer than ${timeoutMs / 1000} s: try tiergate simulate.`);
    }
    return 'refused' in answer ? refusalFrom(denied('request_invalid', answer.refused)) : answer.result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_WORKER_OUT_OF_MEMORY') throw error;
    return refusalFrom(denied('body_too_large', 'That takes more memory than a simulation has here.'));
  } finally {
    clearTimeout(late);
    await thread.terminate();
  }
}
