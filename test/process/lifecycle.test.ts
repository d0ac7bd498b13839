import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Events } from '../../src/process/events.ts';
import { createLifecycle, type Lifecycle } from '../../src/process/lifecycle.ts';
import { type ProcessEvent, runProgram } from '../../src/process/run-program.ts';

/** Every event as `event:fields`, in order, together with whatever else a test notes. */
function createJournal() {
  const journal: string[] = [];
  const events = new Proxy({} as Events, {
    get: (_target, event) => (fields: object) => {
      const { durationMs: _changing, error, ...rest } = fields as { durationMs?: number; error?: unknown };
      const shown = error instanceof Error ? { ...rest, error: error.message } : rest;
      journal.push(`${String(event)} ${JSON.stringify(shown)}`);
    },
  });
  return { journal, events, note: (words: string) => void journal.push(words) };
}

function hanging(): Promise<never> {
  return new Promise(() => undefined);
}

describe('createLifecycle', () => {
  function create(stopTimeoutMs = 1000) {
    const { journal, events, note } = createJournal();
    const lifecycle = createLifecycle({ stopTimeoutMs, events, now: () => 0 });
    const start = (name: string) =>
      lifecycle.start({
        name,
        start: () => {
          note(`start ${name}`);
          return name;
        },
        stop: (started) => note(`stop ${started}`),
      });
    return { journal, note, lifecycle, start };
  }

  test('starts in order and stops in reverse', async () => {
    const { journal, lifecycle, start } = create();
    expect(await start('config')).toBe('config');
    await start('policy');
    await start('server');
    await lifecycle.stop('SIGTERM');
    expect(journal).toEqual([
      'start config',
      'start policy',
      'start server',
      'stopping {"reason":"SIGTERM"}',
      'stop server',
      'stop policy',
      'stop config',
      'stopped {}',
    ]);
    await lifecycle.stopped;
  });

  test('stops once, however often it is told', async () => {
    const { journal, lifecycle, start } = create();
    await start('a');
    await Promise.all([lifecycle.stop('first'), lifecycle.stop('second')]);
    await lifecycle.stop('third');
    expect(journal).toEqual(['start a', 'stopping {"reason":"first"}', 'stop a', 'stopped {}']);
  });

  test('waits for a part to stop before it stops the one below', async () => {
    const { journal, note, lifecycle, start } = create();
    await start('store');
    await lifecycle.start({
      name: 'server',
      start: () => undefined,
      stop: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        note('drained');
      },
    });
    await lifecycle.stop('x');
    expect(journal.slice(2)).toEqual(['drained', 'stop store', 'stopped {}']);
  });

  test('a part that fails to start is not stopped, the earlier ones are', async () => {
    const { journal, lifecycle, start } = create();
    await start('a');
    const failing = lifecycle.start({
      name: 'b',
      start: () => Promise.reject(new Error('port taken')),
      stop: () => expect.fail(),
    });
    await expect(failing).rejects.toThrow('port taken');
    await lifecycle.stop('x');
    expect(journal).toEqual(['start a', 'stopping {"reason":"x"}', 'stop a', 'stopped {}']);
  });

  test('a part that throws while it stops does not keep the others from stopping', async () => {
    const { journal, lifecycle, start } = create();
    await start('a');
    await lifecycle.start({
      name: 'b',
      start: () => undefined,
      stop: () => {
        throw new Error('oops');
      },
    });
    await lifecycle.stop('x');
    expect(journal.slice(2)).toEqual(['stopFailed {"part":"b","error":"oops"}', 'stop a', 'stopped {}']);
  });

  test('a start under way is told, and what comes of it is stopped', async () => {
    const { journal, note, lifecycle } = create();
    const starting = lifecycle.start({
      name: 'slow',
      start: (signal) =>
        new Promise<string>((resolve) => {
          signal.addEventListener('abort', () => resolve('late'));
        }),
      stop: (started) => note(`stop ${started}`),
    });
    const stopping = lifecycle.stop('x');
    await expect(starting).rejects.toThrow('aborted');
    await stopping;
    expect(journal).toEqual(['stopping {"reason":"x"}', 'stop late', 'stopped {}']);
  });

  test('nothing starts once stopping began', async () => {
    const { lifecycle, start } = create();
    await lifecycle.stop('x');
    await expect(start('a')).rejects.toThrow('aborted');
  });

  test('one deadline for all: who is late is told to let go, who does not is left', async () => {
    const { journal, note, lifecycle, start } = create(20);
    await start('below');
    await lifecycle.start({ name: 'stuck', start: () => undefined, stop: hanging });
    await lifecycle.start({
      name: 'told at once',
      start: () => undefined,
      stop: (_started, { aborted }) => note(`aborted: ${aborted}`),
    });
    await lifecycle.start({
      name: 'obedient',
      start: () => undefined,
      stop: (_started, signal) =>
        new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            note('lets go');
            setTimeout(resolve, 5);
          });
        }),
    });
    await lifecycle.stop('x');
    expect(journal.slice(1)).toEqual([
      'stopping {"reason":"x"}',
      'lets go',
      'aborted: true',
      'stop below',
      'stopTimedOut {"parts":["stuck"]}',
      'stopped {}',
    ]);
  });
});

describe('runProgram', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function run(
    program: (lifecycle: Lifecycle) => Promise<void>,
    flush: () => Promise<void> = async () => undefined,
  ) {
    const { journal, events, note } = createJournal();
    const listeners = new Map<ProcessEvent, (value: unknown) => void>();
    const exits: number[] = [];
    const running = runProgram({
      program,
      events,
      stopTimeoutMs: 5000,
      flush,
      host: {
        on: (event, listener) => void listeners.set(event, listener),
        off: (event) => void listeners.delete(event),
        exit: (code) => void exits.push(code),
      },
      now: () => performance.now(),
    });
    const send = (event: ProcessEvent, value?: unknown) => listeners.get(event)?.(value);
    return { journal, note, exits, send, running };
  }

  test('runs until a signal, then stops and leaves the process to end by itself', async () => {
    const stops: string[] = [];
    const { exits, send, running } = run(async (lifecycle) => {
      await lifecycle.start({ name: 'a', start: () => 'a', stop: (a) => void stops.push(a) });
    });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(stops).toEqual([]);
    send('SIGTERM');
    await running;
    expect(stops).toEqual(['a']);
    expect(exits).toEqual([]);
  });

  test('ends a process that something still holds after the deadline', async () => {
    const { exits, journal, send, running } = run(async () => undefined);
    send('SIGINT');
    await running;
    await vi.advanceTimersByTimeAsync(5999);
    expect(exits).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(exits).toEqual([1]);
    expect(journal.at(-1)).toMatch(/^forced .*still held/);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)('a second signal, %s, ends it at once with %i', async (signal, code) => {
    const { exits, send } = run(async (lifecycle) => {
      await lifecycle.start({ name: 'stuck', start: () => undefined, stop: hanging });
    });
    await vi.advanceTimersByTimeAsync(0);
    send('SIGTERM');
    await vi.advanceTimersByTimeAsync(199);
    // Ctrl-C in a terminal comes twice where npm forwards it.
    send(signal);
    await vi.advanceTimersByTimeAsync(1);
    expect(exits).toEqual([]);
    send(signal);
    await vi.advanceTimersByTimeAsync(0);
    expect(exits).toEqual([code]);
  });

  test.each([
    ['uncaughtException', 'uncaught_exception'],
    ['unhandledRejection', 'unhandled_rejection'],
  ] as const)('%s is logged and ends it with 70, once', async (event, kind) => {
    const { exits, journal, send } = run(async () => undefined);
    send(event, new Error('bug'));
    send(event, new Error('and another'));
    await vi.advanceTimersByTimeAsync(0);
    expect(journal[0]).toBe(`crashed {"kind":"${kind}","error":"bug"}`);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(exits).toEqual([70]);
  });

  test('waits for the log to be out before it exits, but not for ever', async () => {
    const { exits, send } = run(async () => undefined, hanging);
    send('uncaughtException', new Error('bug'));
    await vi.advanceTimersByTimeAsync(499);
    expect(exits).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(exits).toEqual([70]);
  });

  test('a program that can not start stops what it had started, and says why', async () => {
    const stops: string[] = [];
    const { exits, running } = run(async (lifecycle) => {
      await lifecycle.start({ name: 'a', start: () => 'a', stop: (a) => void stops.push(a) });
      throw new Error('no such port');
    });
    await expect(running).rejects.toThrow('no such port');
    expect(stops).toEqual(['a']);
    expect(exits).toEqual([]);
  });

  test('told to stop while it starts, it ends as if it had run', async () => {
    const { send, running } = run(async (lifecycle) => {
      await lifecycle.start({
        name: 'slow',
        start: (signal) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('given up')));
          }),
      });
    });
    await vi.advanceTimersByTimeAsync(0);
    send('SIGTERM');
    await expect(running).resolves.toBeUndefined();
  });
});
