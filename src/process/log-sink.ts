import type { Writable } from 'node:stream';

export interface LogSinkOptions {
  readonly stream: Writable;
  /** Lines kept while nobody reads, in bytes. More are dropped and counted: a full pipe must not become a full heap. */
  readonly maxBufferedBytes: number;
  readonly now: () => number;
}

export interface LogSink {
  /** Never blocks, never throws. */
  readonly write: (line: string) => void;
  readonly droppedLines: () => number;
  /** Resolves once everything written so far is out, or nobody is left to read it. */
  readonly flush: () => Promise<void>;
}

/**
 * Lines → a stream, standard output as a rule. Where lines were dropped, the next one that fits is preceded
 * by one that says how many. On Linux a pipe as standard output is asynchronous in Node: without this bound
 * a stalled log collector would take the process's memory.
 */
export function createLogSink(options: LogSinkOptions): LogSink {
  const { stream, maxBufferedBytes } = options;
  let dropped = 0;
  let unsaid = 0;
  let isBroken = false;
  // EPIPE and the like: the reader is gone, the service is not.
  stream.on('error', () => {
    isBroken = true;
  });

  function write(line: string): void {
    const isFull = stream.writableLength + Buffer.byteLength(line) > maxBufferedBytes;
    if (isBroken || isFull || !stream.writable) {
      dropped += 1;
      unsaid += 1;
      return;
    }
    if (unsaid > 0) {
      const time = new Date(options.now()).toISOString();
      stream.write(`${JSON.stringify({ time, level: 'warn', event: 'log_lines_dropped', lines: unsaid })}\n`);
      unsaid = 0;
    }
    stream.write(line);
  }

  return {
    write,
    droppedLines: () => dropped,
    flush: () =>
      new Promise((resolve) => {
        if (isBroken || !stream.writable || stream.writableLength === 0) {
          resolve();
          return;
        }
        stream.once('close', resolve);
        stream.write('', () => {
          stream.off('close', resolve);
          resolve();
        });
      }),
  };
}
