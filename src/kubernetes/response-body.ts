import type { IncomingMessage } from 'node:http';
import { DependencyError, isDependencyError } from '../dependency-error.ts';
import { malformed, parsed } from './answer.ts';

/** The whole body as text. Throws DependencyError (`malformed`) when it is cut off or longer than `maxBytes`. */
export async function readText(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      // Leaving the loop destroys the response, and its connection with it.
      if (length > maxBytes) throw malformed(`an answer longer than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw isDependencyError(error) ? error : malformed('an answer that was cut off', error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export interface JsonLinesOptions {
  /** Silence after which the stream is taken for dead. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** One object and its event: Kubernetes allows 1.5 MiB and our metadata-only ones are far smaller. */
const maxLineLength = 4 * 1024 * 1024;

/**
 * The body as JSON values, one a line. Ends where the server ends it, or the signal. Throws DependencyError when
 * it is cut off (`unreachable`), falls silent (`timeout`) or holds anything else (`malformed`).
 */
export async function* readJsonLines(
  response: IncomingMessage,
  options: JsonLinesOptions,
): AsyncGenerator<unknown, void, undefined> {
  const { idleTimeoutMs, signal } = options;
  const silent = () => {
    response.destroy(
      new DependencyError('kubernetes', 'timeout', { detail: `silent for ${idleTimeoutMs} ms` }),
    );
  };
  const abort = () => void response.destroy();
  const timer = setTimeout(silent, idleTimeoutMs);
  signal.addEventListener('abort', abort, { once: true });
  let rest = '';
  try {
    if (signal.aborted) return;
    response.setEncoding('utf8');
    for await (const chunk of response as AsyncIterable<string>) {
      timer.refresh();
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > maxLineLength) throw malformed(`a line longer than ${maxLineLength} characters`);
      for (const line of lines) if (line !== '') yield parsedLine(line);
    }
    if (rest.trim() !== '') yield parsedLine(rest);
  } catch (error) {
    if (signal.aborted) return;
    if (isDependencyError(error)) throw error;
    throw new DependencyError('kubernetes', 'unreachable', {
      detail: 'the stream was cut off',
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    response.destroy();
  }
}

function parsedLine(line: string): unknown {
  const value = parsed(line);
  if (value === undefined) throw malformed('a line that is not JSON');
  return value;
}
