import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createLogSink } from '../../src/process/log-sink.ts';

/** A reader that takes lines only when it is told to. */
function stalledReader() {
  const read: string[] = [];
  const waiting: (() => void)[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      waiting.push(() => {
        read.push(String(chunk));
        done();
      });
    },
  });
  /** Takes until nothing is waiting. */
  const resume = async (): Promise<void> => {
    for (let take = waiting.shift(); take !== undefined; take = waiting.shift()) {
      take();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { stream, read, resume };
}

describe('a log that nobody reads', () => {
  test('keeps what fits, drops and counts the rest, and says so when it is read again', async () => {
    const { stream, read, resume } = stalledReader();
    const sink = createLogSink({ stream, maxBufferedBytes: 100, now: () => 0 });
    for (let line = 0; line < 50; line += 1) sink.write(`${String(line).padStart(9)}\n`);
    expect(sink.droppedLines()).toBe(40);
    expect(stream.writableLength).toBeLessThanOrEqual(100);

    await resume();
    expect(read).toHaveLength(10);
    sink.write('again\n');
    await resume();
    expect(read.slice(10)).toEqual([
      '{"time":"1970-01-01T00:00:00.000Z","level":"warn","event":"log_lines_dropped","lines":40}\n',
      'again\n',
    ]);
    sink.write('and on\n');
    await resume();
    expect(read.at(-1)).toBe('and on\n');
    expect(sink.droppedLines()).toBe(40);
  });

  test('whose reader is gone drops and counts, and throws nothing', async () => {
    const stream = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
    });
    const sink = createLogSink({ stream, maxBufferedBytes: 100, now: () => 0 });
    sink.write('a\n');
    await new Promise((resolve) => setImmediate(resolve));
    sink.write('b\n');
    expect(sink.droppedLines()).toBe(1);
    await expect(sink.flush()).resolves.toBeUndefined();
  });
});

describe('flush', () => {
  test('waits for what was written before it', async () => {
    const { stream, read, resume } = stalledReader();
    const sink = createLogSink({ stream, maxBufferedBytes: 1000, now: () => 0 });
    sink.write('a\n');
    sink.write('b\n');
    let isDone = false;
    const flushed = sink.flush().then(() => {
      isDone = true;
      return isDone;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDone).toBe(false);
    await resume();
    await flushed;
    expect(read.slice(0, 2)).toEqual(['a\n', 'b\n']);
  });

  test('of a stream that is closed meanwhile ends too', async () => {
    const { stream } = stalledReader();
    const sink = createLogSink({ stream, maxBufferedBytes: 1000, now: () => 0 });
    sink.write('a\n');
    const flushed = sink.flush();
    stream.destroy();
    await expect(flushed).resolves.toBeUndefined();
  });

  test('of nothing is done at once', async () => {
    const { stream } = stalledReader();
    await createLogSink({ stream, maxBufferedBytes: 1000, now: () => 0 }).flush();
  });
});
