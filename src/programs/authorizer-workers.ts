import { createKubernetesClient } from '../kubernetes/client.ts';
import { loadConnection } from '../kubernetes/connection.ts';
import { createRelayFollower } from '../kubernetes/relay-follower.ts';
import type { RelayNews, RelayRequest } from '../kubernetes/relay-news.ts';
import { createWatchRelay, type RelayListener } from '../kubernetes/watch-relay.ts';
import type { Config } from '../process/config.ts';
import { createWorkerLink, processChannel } from '../process/worker-link.ts';
import { createWorkers, type WorkerHandle } from '../process/workers.ts';
import type { Metrics } from '../process/metrics.ts';
import { createWorkersMetrics } from '../process/workers-metrics.ts';
import { startOps } from './authorizer-health.ts';
import { kubeconfigOf } from './load-policy.ts';
import type { ServerContext } from './run-server.ts';
import type { AuthorizerSources } from './authorizer.ts';

/**
 * The process that serves nobody: it watches the cluster for all workers, answers probes and scrapes for all of them,
 * and keeps as many of them alive as the process file says.
 */
export async function startPrimary(context: ServerContext): Promise<void> {
  const { config, lifecycle, events } = context;
  const listenerByWorker = new Map<WorkerHandle, RelayListener>();
  let ready = 0;
  /** All at first, so that a rollout goes on only when a pod is whole; then any: whoever is left serves. */
  let isStarted = false;

  const client = await lifecycle.start({
    name: 'kubernetes',
    start: async () =>
      createKubernetesClient({
        connection: await loadConnection(kubeconfigOf(config)),
        timeoutMs: config.reviews.timeoutMs,
      }),
    stop: (started) => started.close(),
  });
  const relay = await lifecycle.start({
    name: 'relay',
    start: () => createWatchRelay({ client }),
    stop: (started) => started.stop(),
  });
  const workers = createWorkers({
    count: config.workers,
    events,
    now: Date.now,
    onRelay: (worker, body) => relay.take(listenerOf(worker), body as RelayRequest),
    onGone(worker) {
      const listener = listenerByWorker.get(worker);
      if (listener !== undefined) relay.forget(listener);
      listenerByWorker.delete(worker);
    },
    onReadyCount(count) {
      ready = count;
      metrics.setReady(count);
    },
  });
  const metrics = createWorkersMetrics({
    count: config.workers,
    restarts: workers.restarts,
    ofWorkers: workers.metrics,
  });

  function listenerOf(worker: WorkerHandle): RelayListener {
    const known = listenerByWorker.get(worker);
    if (known !== undefined) return known;
    const listener: RelayListener = { send: (news) => worker.send({ tiergate: 'relay', body: news }) };
    listenerByWorker.set(worker, listener);
    return listener;
  }

  const isReady = (): boolean => isStarted && ready > 0 && !lifecycle.signal.aborted;
  await startOps(
    context,
    { isReady, report: () => ({ status: isReady() ? 'ready' : 'starting', workers: workers.report() }) },
    metrics,
  );
  await lifecycle.start({
    name: 'workers',
    async start() {
      try {
        await workers.start();
      } catch (error) {
        await workers.stop(AbortSignal.abort());
        throw error;
      }
      return workers;
    },
    stop: (started, signal) => started.stop(signal),
  });
  isStarted = true;
  events.ready();
}

/** What is another's in a process that is one of several. */
export async function joinPrimary(context: ServerContext): Promise<AuthorizerSources> {
  const { lifecycle } = context;
  let registry: Metrics['registry'] | undefined;
  const link = await lifecycle.start({
    name: 'primary',
    start() {
      const follower = createRelayFollower({ send: (request) => started.relay(request) });
      const started = createWorkerLink({
        channel: processChannel(),
        onRelay: (body) => follower.take(body as RelayNews),
        onStop: () => void lifecycle.stop('the primary stops'),
        onSilent: follower.silent,
        onHeard: follower.heard,
        metrics: async () => (await registry?.getMetricsAsJSON()) ?? [],
        now: Date.now,
      });
      return { ...started, followElsewhere: follower.followElsewhere };
    },
    stop: (started) => started.close(),
  });
  return {
    worker: {
      followElsewhere: link.followElsewhere,
      startOps(_context, health, metrics) {
        ({ registry } = metrics);
        link.follow(() => ({ isReady: health.isReady(), report: health.report() }));
        return Promise.resolve('');
      },
    },
  };
}

/** Each worker asks by itself: what the process file allows is shared out, so that it holds for all together. */
export function shareOfWorker(config: Config): Config {
  const share = (all: number): number => Math.max(1, Math.floor(all / config.workers));
  const { concurrency, perSecond, perSourcePerSecond, queue, ...rest } = config.reviews;
  return {
    ...config,
    reviews: {
      ...rest,
      concurrency: share(concurrency),
      perSecond: share(perSecond),
      perSourcePerSecond: share(perSourcePerSecond),
      queue: share(queue),
    },
  };
}
