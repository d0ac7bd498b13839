import cluster from 'node:cluster';
import type { Events } from './events.ts';
import type { ReadinessReport } from './readiness.ts';
import {
  beatEveryMs,
  type FromPrimary,
  type FromWorker,
  isOurs,
  type MetricsOfProcess,
} from './worker-message.ts';

/** One of the processes, as the primary knows it. */
export interface WorkerHandle {
  /** From 1; the one that takes another's place has its number. */
  readonly number: number;
  readonly send: (message: FromPrimary) => void;
}

/** What the primary needs of a forked process; node:cluster's Worker is one. */
export interface ForkedProcess {
  readonly process: { readonly pid?: number | undefined; readonly kill: (signal: 'SIGKILL') => unknown };
  readonly isConnected: () => boolean;
  readonly send: (message: FromPrimary) => unknown;
  readonly on: {
    (event: 'message', listener: (message: unknown) => void): unknown;
    (event: 'exit', listener: (code: number | null, signal: string | null) => void): unknown;
  };
}

export interface WorkersOptions {
  readonly count: number;
  /** Something from a worker that is for a part of the primary. */
  readonly onRelay: (worker: WorkerHandle, body: unknown) => void;
  /** The process is gone; another one of its number is another handle. */
  readonly onGone: (worker: WorkerHandle) => void;
  readonly onReadyCount: (ready: number) => void;
  readonly events: Pick<Events, 'workerGone' | 'workerSilent'>;
  readonly now: () => number;
  /** Default: node:cluster's, which starts the same command once more. */
  readonly fork?: (number: number) => ForkedProcess;
}

export interface WorkerReport {
  readonly worker: number;
  readonly pid: number | undefined;
  /** Absent: it has not said anything yet. */
  readonly readiness?: ReadinessReport;
}

export interface Workers {
  /** Resolves when each was ready once. Rejects WorkerFailed when one ends before. */
  readonly start: () => Promise<void>;
  /** Each ends in good order; when the signal aborts, at once. */
  readonly stop: (signal: AbortSignal) => Promise<void>;
  readonly report: () => readonly WorkerReport[];
  readonly restarts: () => number;
  /** Of those that answer within two seconds; one that has just ended has nothing to say any more. */
  readonly metrics: () => Promise<readonly MetricsOfProcess[]>;
}

/** A worker could not start: it has said why, and this is the code that it ended with. */
export class WorkerFailed extends Error {
  readonly exitCode: number;

  constructor(number: number, exitCode: number) {
    super(`worker ${number} ended with code ${exitCode} before it was ready`);
    this.name = 'WorkerFailed';
    this.exitCode = exitCode;
  }
}

/** An event loop that has not turned for so long answers nobody: the process is ended and another one started. */
const silentMs = 30_000;
/** The pause before a process that ended is replaced: doubled for one that did not live long. */
const minPauseMs = 500;
const maxPauseMs = 30_000;
const longLifeMs = 60_000;
const crashCode = 70;
const metricsTimeoutMs = 2_000;

interface Seat {
  readonly number: number;
  forked: ForkedProcess | undefined;
  startedAtMs: number;
  heardAtMs: number;
  failures: number;
  isReady: boolean;
  wasReady: boolean;
  report: ReadinessReport | undefined;
  /** By the number of the question: who waits for the metrics of this process. */
  readonly asking: Map<number, (metrics: MetricsOfProcess | undefined) => void>;
}

/** As many processes of this very command as asked for, each replaced when it ends; node:cluster shares out connections. */
export function createWorkers(options: WorkersOptions): Workers {
  const { count, events, now, fork = forkWorker } = options;
  const seats: readonly Seat[] = Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    forked: undefined,
    startedAtMs: 0,
    heardAtMs: 0,
    failures: 0,
    isReady: false,
    wasReady: false,
    report: undefined,
    asking: new Map(),
  }));
  const timers = new Set<NodeJS.Timeout>();
  let beat: NodeJS.Timeout | undefined;
  let isStopping = false;
  let restarts = 0;
  let questions = 0;
  let onAllReady: () => void = () => undefined;
  let onFailed: (error: WorkerFailed) => void = () => undefined;
  let onAllGone: () => void = () => undefined;

  function tellReady(): void {
    options.onReadyCount(seats.filter(({ isReady }) => isReady).length);
    if (seats.every(({ wasReady }) => wasReady)) onAllReady();
  }

  function seat(place: Seat): void {
    const forked = fork(place.number);
    const handle: WorkerHandle = {
      number: place.number,
      send: (message) => void (forked.isConnected() && forked.send(message)),
    };
    place.forked = forked;
    place.startedAtMs = now();
    place.heardAtMs = now();
    forked.on('message', (message) => {
      if (!isOurs(message)) return;
      place.heardAtMs = now();
      take(place, handle, message as FromWorker);
    });
    forked.on('exit', (code, signal) => {
      options.onGone(handle);
      vacate(place, code ?? crashCode, signal);
    });
  }

  function take(place: Seat, handle: WorkerHandle, message: FromWorker): void {
    if (message.tiergate === 'relay') options.onRelay(handle, message.body);
    if (message.tiergate === 'metrics') place.asking.get(message.question)?.(message.metrics);
    if (message.tiergate !== 'state') return;
    place.report = message.report;
    if (place.isReady === message.isReady) return;
    place.isReady = message.isReady;
    place.wasReady ||= message.isReady;
    tellReady();
  }

  function vacate(place: Seat, code: number, signal: string | null): void {
    place.forked = undefined;
    place.isReady = false;
    place.report = undefined;
    for (const answer of place.asking.values()) answer(undefined);
    tellReady();
    if (isStopping) {
      if (seats.every(({ forked }) => forked === undefined)) onAllGone();
      return;
    }
    events.workerGone({ worker: place.number, code, signal });
    if (!place.wasReady) {
      onFailed(new WorkerFailed(place.number, code));
      return;
    }
    place.failures = now() - place.startedAtMs >= longLifeMs ? 0 : place.failures + 1;
    const pauseMs = Math.min(maxPauseMs, minPauseMs * 2 ** Math.min(place.failures, 16));
    const timer = setTimeout(() => {
      timers.delete(timer);
      restarts += 1;
      seat(place);
    }, pauseMs);
    timers.add(timer);
  }

  function ask({ forked, asking }: Seat, question: number): Promise<MetricsOfProcess | undefined> {
    return new Promise((resolve) => {
      const answer = (metrics: MetricsOfProcess | undefined): void => {
        clearTimeout(timer);
        asking.delete(question);
        resolve(metrics);
      };
      const timer = setTimeout(() => answer(undefined), metricsTimeoutMs);
      asking.set(question, answer);
      if (forked?.isConnected() === true) forked.send({ tiergate: 'metrics', question });
      else answer(undefined);
    });
  }

  function everyBeat(): void {
    for (const place of seats) {
      const { forked, heardAtMs, number } = place;
      if (forked === undefined) continue;
      if (forked.isConnected()) forked.send({ tiergate: 'beat' });
      if (now() - heardAtMs < silentMs) continue;
      events.workerSilent({ worker: number, seconds: Math.round((now() - heardAtMs) / 1000) });
      place.heardAtMs = now();
      forked.process.kill('SIGKILL');
    }
  }

  return {
    start() {
      beat = setInterval(everyBeat, beatEveryMs);
      return new Promise((resolve, reject) => {
        onAllReady = resolve;
        onFailed = reject;
        for (const place of seats) seat(place);
      });
    },
    stop(signal) {
      isStopping = true;
      clearInterval(beat);
      for (const timer of timers) clearTimeout(timer);
      const kill = (): void => {
        for (const { forked } of seats) forked?.process.kill('SIGKILL');
      };
      return new Promise((resolve) => {
        onAllGone = () => {
          signal.removeEventListener('abort', kill);
          resolve();
        };
        for (const { forked } of seats) if (forked?.isConnected() === true) forked.send({ tiergate: 'stop' });
        if (seats.every(({ forked }) => forked === undefined)) onAllGone();
        else if (signal.aborted) kill();
        else signal.addEventListener('abort', kill, { once: true });
      });
    },
    report: () =>
      seats.map(({ number, forked, report }) => ({
        worker: number,
        pid: forked?.process.pid,
        ...(report !== undefined && { readiness: report }),
      })),
    restarts: () => restarts,
    async metrics() {
      questions += 1;
      const answers = await Promise.all(seats.map((place) => ask(place, questions)));
      return answers.filter((answer) => answer !== undefined);
    },
  };
}

/** Where a worker finds its number. */
const numberVariable = 'TIERGATE_WORKER';

function forkWorker(number: number): ForkedProcess {
  return cluster.fork({ [numberVariable]: String(number) });
}

/** Of this process, if it is a worker. */
export function workerNumber(): number | undefined {
  return cluster.isWorker ? Number(process.env[numberVariable]) : undefined;
}
