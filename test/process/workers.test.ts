import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { FromPrimary, FromWorker } from '../../src/process/worker-message.ts';
import { createWorkerLink } from '../../src/process/worker-link.ts';
import { createWorkersMetrics } from '../../src/process/workers-metrics.ts';
import {
  createWorkers,
  type ForkedProcess,
  WorkerFailed,
  type WorkersOptions,
} from '../../src/process/workers.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Fake extends ForkedProcess {
  readonly number: number;
  readonly sent: FromPrimary[];
  readonly kills: string[];
  readonly says: (message: FromWorker) => void;
  readonly exits: (code: number | null, signal?: string) => void;
}

const ready: FromWorker = { tiergate: 'state', isReady: true, report: { status: 'ready', parts: {} } };

function world(options: Partial<WorkersOptions> = {}) {
  const forked: Fake[] = [];
  const said: string[] = [];
  const workers = createWorkers({
    count: 2,
    onRelay: (worker, body) => void said.push(`${worker.number} relays ${String(body)}`),
    onGone: ({ number }) => void said.push(`${number} gone`),
    onReadyCount: (count) => void said.push(`${count} ready`),
    events: {
      workerGone: ({ worker, code }) => void said.push(`${worker} ended with ${code}`),
      workerSilent: ({ worker }) => void said.push(`${worker} silent`),
    },
    now: Date.now,
    fork(number) {
      let isConnected = true;
      const listeners: Record<string, (...values: never[]) => void> = {};
      const fake: Fake = {
        number,
        sent: [],
        kills: [],
        process: { pid: 100 + forked.length, kill: (signal) => void fake.kills.push(signal) },
        isConnected: () => isConnected,
        send: (message) => void fake.sent.push(message),
        on: (event: string, listener: (...values: never[]) => void) => void (listeners[event] = listener),
        says: (message) => listeners['message']?.(message as never),
        exits(code, signal) {
          isConnected = false;
          listeners['exit']?.(code as never, (signal ?? null) as never);
        },
      };
      forked.push(fake);
      return fake;
    },
    ...options,
  });
  return { workers, forked, said };
}

it('has started once each worker was ready', async () => {
  const { workers, forked, said } = world();
  let isStarted = false;
  const starting = workers.start().then(() => (isStarted = true));
  forked[0]?.says(ready);
  await vi.advanceTimersByTimeAsync(10);
  expect(isStarted).toBe(false);
  forked[1]?.says(ready);
  await starting;
  expect(said).toEqual(['1 ready', '2 ready']);
  expect(workers.report()).toEqual([
    { worker: 1, pid: 100, readiness: { status: 'ready', parts: {} } },
    { worker: 2, pid: 101, readiness: { status: 'ready', parts: {} } },
  ]);
});

it('fails to start with the code of a worker that could not', async () => {
  const { workers, forked } = world();
  const starting = workers.start();
  forked[1]?.exits(78);
  await expect(starting).rejects.toEqual(new WorkerFailed(2, 78));
  await expect(starting).rejects.toMatchObject({ exitCode: 78 });
});

async function started(options: Partial<WorkersOptions> = {}) {
  const made = world(options);
  const starting = made.workers.start();
  for (const fake of made.forked) fake.says(ready);
  await starting;
  made.said.length = 0;
  return made;
}

it('puts another in the place of one that ended, after a pause that grows while they do not live', async () => {
  const { workers, forked, said } = await started();
  forked[0]?.exits(70);
  expect(said).toEqual(['1 gone', '1 ready', '1 ended with 70']);
  expect(forked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(forked.map(({ number }) => number)).toEqual([1, 2, 1]);
  forked[2]?.exits(null, 'SIGKILL');
  await vi.advanceTimersByTimeAsync(1_000);
  expect(forked).toHaveLength(3);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(forked).toHaveLength(4);
  expect(workers.restarts()).toBe(2);
  forked[3]?.says(ready);
  expect(said.at(-1)).toBe('2 ready');
});

it('ends one that says nothing for half a minute, and no other', async () => {
  const { forked, said } = await started();
  for (let second = 0; second < 31; second += 1) {
    await vi.advanceTimersByTimeAsync(1_000);
    forked[1]?.says({ tiergate: 'beat' });
  }
  expect(forked.map(({ kills }) => kills)).toEqual([['SIGKILL'], []]);
  expect(said).toContain('1 silent');
});

it('hands on what is for a part of the primary, and nothing of a library', async () => {
  const { forked, said } = await started();
  forked[0]?.says({ tiergate: 'relay', body: 'news' });
  forked[0]?.says({ type: 'prom-client:getMetricsRes' } as unknown as FromWorker);
  expect(said).toEqual(['1 relays news']);
});

it('stops when each has ended in good order, and replaces none of them', async () => {
  const { workers, forked } = await started();
  const stopping = workers.stop(new AbortController().signal);
  expect(forked.map(({ sent }) => sent.at(-1))).toEqual([{ tiergate: 'stop' }, { tiergate: 'stop' }]);
  forked[0]?.exits(0);
  forked[1]?.exits(0);
  await stopping;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(forked).toHaveLength(2);
});

it('ends those that do not end in time', async () => {
  const { workers, forked } = await started();
  const deadline = new AbortController();
  const stopping = workers.stop(deadline.signal);
  forked[0]?.exits(0);
  deadline.abort();
  expect(forked.map(({ kills }) => kills)).toEqual([[], ['SIGKILL']]);
  forked[1]?.exits(null, 'SIGKILL');
  await stopping;
});

const counter = (value: number) => ({
  name: 'tiergate_checks_total',
  help: 'Checks.',
  type: 'counter',
  aggregator: 'sum',
  values: [{ value, labels: {} }],
});

it('adds up what its workers count, without one that does not answer', async () => {
  const { workers, forked } = await started();
  const metrics = createWorkersMetrics({ count: 2, restarts: () => 1, ofWorkers: workers.metrics });
  metrics.setReady(2);
  const answers = (fake: Fake | undefined, value: number): void => {
    const asked = fake?.sent.at(-1);
    if (asked?.tiergate !== 'metrics') throw new Error('not asked');
    fake?.says({ tiergate: 'metrics', question: asked.question, metrics: [counter(value)] });
  };
  const both = metrics.text();
  answers(forked[0], 3);
  answers(forked[1], 4);
  expect(await both).toContain('\ntiergate_checks_total 7\n');
  expect(await both).toContain('\ntiergate_workers_ready 2\n');
  expect(await both).toContain('\ntiergate_worker_restarts_total 1\n');
  const [slow, gone] = [metrics.text(), metrics.text()];
  answers(forked[0], 5);
  forked[1]?.exits(70);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await gone).toContain('\ntiergate_checks_total 5\n');
  expect(await slow).not.toContain('tiergate_checks_total');
});

function link() {
  const sent: FromWorker[] = [];
  const said: string[] = [];
  let take: (message: unknown) => void = () => undefined;
  const made = createWorkerLink({
    channel: {
      send: (message) => void sent.push(message),
      onMessage: (listener) => void (take = listener),
      letGo: () => void said.push('let go'),
    },
    onRelay: (body) => void said.push(`relay ${String(body)}`),
    onStop: () => void said.push('stop'),
    onSilent: () => void said.push('silent'),
    onHeard: () => void said.push('heard'),
    metrics: async () => [counter(3)],
    now: Date.now,
  });
  return { link: made, sent, said, take: (message: FromPrimary) => take(message) };
}

it('tells the primary at once that it is ready, and each second that it lives', async () => {
  const { link: made, sent } = link();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(sent).toEqual([{ tiergate: 'beat' }]);
  let isReady = false;
  const report = { status: 'starting', parts: {} } as const;
  made.follow(() => ({ isReady, report }));
  isReady = true;
  await vi.advanceTimersByTimeAsync(100);
  expect(sent.at(-1)).toEqual({ tiergate: 'state', isReady: true, report });
  made.close();
});

it('gives the primary its metrics', async () => {
  const { link: made, sent, take } = link();
  take({ tiergate: 'metrics', question: 7 });
  await vi.advanceTimersByTimeAsync(0);
  expect(sent.at(-1)).toEqual({ tiergate: 'metrics', question: 7, metrics: [counter(3)] });
  made.close();
});

it('takes a primary that says nothing for seconds for one that does not watch', async () => {
  const { link: made, said, take } = link();
  await vi.advanceTimersByTimeAsync(4_900);
  expect(said).toEqual([]);
  await vi.advanceTimersByTimeAsync(100);
  expect(said).toEqual(['silent']);
  take({ tiergate: 'beat' });
  take({ tiergate: 'stop' });
  expect(said).toEqual(['silent', 'heard', 'heard', 'stop']);
  made.close();
  expect(said.at(-1)).toBe('let go');
});
