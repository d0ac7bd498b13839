import type { ReadinessReport } from './readiness.ts';
import {
  beatEveryMs,
  type FromPrimary,
  type FromWorker,
  isOurs,
  type MetricsOfProcess,
} from './worker-message.ts';

/** The channel to the primary; `process` of a forked process has one. */
export interface WorkerChannel {
  readonly send: (message: FromWorker) => void;
  readonly onMessage: (listener: (message: unknown) => void) => void;
  /** It no longer keeps this process alive. */
  readonly letGo: () => void;
}

export interface WorkerLinkOptions {
  readonly channel: WorkerChannel;
  readonly onRelay: (body: unknown) => void;
  readonly onStop: () => void;
  /** The primary's event loop does not turn, and then does again. */
  readonly onSilent: () => void;
  readonly onHeard: () => void;
  readonly metrics: () => Promise<MetricsOfProcess>;
  readonly now: () => number;
}

/** A worker's end of the channel. */
export interface WorkerLink {
  readonly relay: (body: unknown) => void;
  /** Told at once when it changes, and with each beat. */
  readonly follow: (readiness: () => { readonly isReady: boolean; readonly report: ReadinessReport }) => void;
  readonly close: () => void;
}

/** As long as a watch may take to notice it (object-watch.ts, graceMs), and some beats. */
const silentMs = 5_000;
/** How soon the primary hears that this worker is ready, or no longer is. */
const tellEveryMs = 100;

export function createWorkerLink(options: WorkerLinkOptions): WorkerLink {
  const { channel, now } = options;
  let heardAtMs = now();
  let readiness: Parameters<WorkerLink['follow']>[0] | undefined;
  let told = false;
  let toldAtMs = 0;

  function take(message: FromPrimary): void {
    heardAtMs = now();
    options.onHeard();
    if (message.tiergate === 'relay') options.onRelay(message.body);
    if (message.tiergate === 'stop') options.onStop();
    if (message.tiergate === 'metrics') void answer(message.question);
  }

  async function answer(question: number): Promise<void> {
    // A figure that can not be had is a gap in a graph, not the end of a process that serves.
    const metrics = await options.metrics().catch(() => []);
    channel.send({ tiergate: 'metrics', question, metrics });
  }

  function tell(): void {
    if (now() - heardAtMs >= silentMs) options.onSilent();
    const state = readiness?.();
    const isDue = now() - toldAtMs >= beatEveryMs;
    if (state === undefined) {
      if (isDue) channel.send({ tiergate: 'beat' });
    } else if (isDue || state.isReady !== told) {
      told = state.isReady;
      channel.send({ tiergate: 'state', ...state });
    } else return;
    toldAtMs = now();
  }

  channel.onMessage((message) => {
    if (isOurs(message)) take(message as FromPrimary);
  });
  const telling = setInterval(tell, tellEveryMs);
  return {
    relay: (body) => channel.send({ tiergate: 'relay', body }),
    follow(next) {
      readiness = next;
      tell();
    },
    close() {
      clearInterval(telling);
      tell();
      channel.letGo();
    },
  };
}

/** The channel of this process, which node:cluster has forked. */
export function processChannel(): WorkerChannel {
  return {
    // Nobody there any more: node:cluster ends this process.
    send: (message) => void (process.connected && process.send?.(message)),
    onMessage: (listener) => void process.on('message', listener),
    letGo: () => process.channel?.unref(),
  };
}
