import { workerNumber } from '../process/workers.ts';
import { joinPrimary, shareOfWorker, startPrimary } from './authorizer-workers.ts';
import { preflight } from './preflight.ts';
import type { Program } from './program.ts';
import { runServer } from './run-server.ts';

/** For all parts together; below the pod's grace period. */
export const stopTimeoutMs = 25_000;
/** Before the primary ends what has not ended. */
const workerStopTimeoutMs = stopTimeoutMs - 1_000;

/** `tiergate authorizer`: what Envoy asks about every request, in one process or in several behind a primary. */
export const authorizer: Program = (args, io) =>
  runServer(
    {
      name: 'authorizer',
      preflight: (config) => preflight(config, config.listeners),
      stopTimeoutMs: workerNumber() === undefined ? stopTimeoutMs : workerStopTimeoutMs,
      async start(context) {
        const { config } = context;
        if (workerNumber() === undefined && config.workers > 1) {
          await startPrimary(context);
          return;
        }
        // Not before: the primary answers no Check, and does without what answers them.
        const { startAuthorizer } = await import('./authorizer.ts');
        if (workerNumber() === undefined) await startAuthorizer(context);
        else await startAuthorizer({ ...context, config: shareOfWorker(config) }, await joinPrimary(context));
      },
    },
    args,
    io,
  );
