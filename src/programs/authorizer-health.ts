import { createOpsRoutes } from '../http/ops-routes.ts';
import { createOpsServer } from '../http/ops-server.ts';
import type { Metrics } from '../process/metrics.ts';
import { createReadiness, type Readiness } from '../process/readiness.ts';
import type { ServerContext } from './run-server.ts';

/** What must have been synced once before anything is served. */
const gating = ['policy', 'serviceAccounts', 'tokenSecrets', 'deniedList', 'rbac'] as const;

/** What is shown and not waited for. */
const others = ['kubernetes', 'keys', 'redis'] as const;

/** What `/readyz` tells of. */
export type AuthorizerPart = (typeof gating)[number] | (typeof others)[number];

export interface AuthorizerHealth extends Readiness<AuthorizerPart> {
  /** Figures that `/readyz` shows beside the parts, as of when it is asked. Nothing secret, no user's name. */
  readonly show: (name: string, figures: () => unknown) => void;
}

/** Every change of a part's state is told in the log and the metrics as well. */
export function createHealth({ events }: ServerContext, metrics: Metrics): AuthorizerHealth {
  const figuresByName = new Map<string, () => unknown>();
  const readiness = createReadiness<AuthorizerPart>({
    gating,
    others,
    onPart(part, state) {
      metrics.setDegraded(part, state.state === 'degraded');
      if (state.state === 'degraded') events.degraded({ part, detail: state.detail });
      else events.recovered({ part });
    },
    onStatus(status) {
      metrics.setReady(status === 'ready');
      if (status === 'ready') events.ready();
    },
  });
  return {
    ...readiness,
    show: (name, figures) => void figuresByName.set(name, figures),
    report: () => ({
      ...readiness.report(),
      ...Object.fromEntries([...figuresByName].map(([name, figures]) => [name, figures()])),
    }),
  };
}

/** The port of probes and metrics; the first to start and the last to stop. Resolves to its URL. */
export async function startOps(
  { config, lifecycle, log, events }: ServerContext,
  health: { readonly isReady: () => boolean; readonly report: () => unknown },
  metrics: Pick<Metrics, 'contentType' | 'text'>,
): Promise<string> {
  const server = createOpsServer({
    ...config.listeners.ops.address,
    listener: createOpsRoutes({
      readiness: () => ({ isReady: health.isReady(), report: health.report() }),
      metrics: async () => ({ contentType: metrics.contentType, text: await metrics.text() }),
      onError: (error) => log.error('metrics_failed', { error }),
    }),
  });
  const { host, port } = await lifecycle.start({
    name: 'ops',
    start: () => server.start(),
    stop: (_address, signal) => server.stop(signal),
  });
  events.listening({ listener: 'ops', address: `${host}:${port}` });
  return `http://${host}:${port}`;
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
