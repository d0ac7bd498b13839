import type { ServerResponse } from 'node:http';
import { type Status, StatusError } from './status.ts';
import type { Watch } from './watch.ts';

/** What a request is answered with: a body that is all there, or a watch that goes on. */
export type Answer = BodyAnswer | { readonly watch: Watch };

export interface BodyAnswer {
  readonly status: number;
  /** Text is sent as it is, anything else as JSON. */
  readonly body: unknown;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function isWatchAnswer(answer: Answer): answer is { readonly watch: Watch } {
  return 'watch' in answer;
}

/** The answer to a request that failed; whatever is no StatusError is a bug of ours and a 500. */
export function answerForError(error: unknown): BodyAnswer {
  const refusal =
    error instanceof StatusError
      ? error
      : new StatusError(500, 'InternalError', `Internal error occurred: ${String(error)}`);
  return statusAnswer(refusal.body, refusal.code);
}

export function statusAnswer(body: Status, status: number): BodyAnswer {
  const seconds = body.details?.retryAfterSeconds;
  return { status, body, ...(seconds === undefined ? {} : { headers: { 'retry-after': String(seconds) } }) };
}

export function writeAnswer(response: ServerResponse, answer: Answer): void {
  if (isWatchAnswer(answer)) {
    streamWatch(response, answer.watch);
    return;
  }
  const { bytes, headers } = serialized(answer);
  response.writeHead(answer.status, headers).end(bytes);
}

/** Head and body as they go over the wire. */
export function serialized(answer: BodyAnswer): {
  readonly bytes: Buffer;
  readonly headers: Readonly<Record<string, string | number>>;
} {
  const [text, itsType] =
    typeof answer.body === 'string'
      ? [answer.body, 'text/plain; charset=utf-8']
      : [JSON.stringify(answer.body), 'application/json'];
  const bytes = Buffer.from(text);
  const contentType = answer.contentType ?? itsType;
  return {
    bytes,
    headers: { ...answer.headers, 'content-type': contentType, 'content-length': bytes.length },
  };
}

/**
 * How far a client may fall behind what happens, beyond what its watch began with. One that reads more slowly
 * is cut off, as by the real server; it will list again.
 */
const maxUnreadBytes = 16 * 1024 * 1024;

function streamWatch(response: ServerResponse, watch: Watch): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  let limit = Number.POSITIVE_INFINITY;
  const leave = watch({
    send: (event) => {
      response.write(`${JSON.stringify(event)}\n`);
      if (response.writableLength > limit) response.destroy();
    },
    end: () => response.end(),
  });
  limit = response.writableLength + maxUnreadBytes;
  response.once('close', leave);
}
