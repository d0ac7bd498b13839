import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Check } from '../../check/check.ts';
import type { CheckInput } from '../../check/check-input.ts';
import { type Denied, denied, isDenied, type Outcome } from '../../check/outcome.ts';
import type { AnswerCheck, CheckAnswer } from './answer.ts';
import type { Connections } from './connections.ts';
import type { Peer, ReadRequest } from './read-request.ts';

/**
 * Told of every answer once it was handed to the connection. `input` is undefined where the request could not be
 * read; `durationMs` runs from its headers to the answer.
 */
export type RecordOutcome = (outcome: Outcome, input: CheckInput | undefined, durationMs: number) => void;

export interface CheckHandlerOptions {
  readonly readRequest: ReadRequest;
  readonly check: Check;
  readonly answerCheck: AnswerCheck;
  readonly arrive: Connections['arrive'];
  readonly recordOutcome: RecordOutcome;
  /** Told of bugs: what Check, or the record of its outcome, threw. The caller has its answer by then. Must not throw. */
  readonly onError: (error: unknown) => void;
  /** Of a body, which is read to its end; a longer one is denied. */
  readonly maxBodyBytes: number;
  /** Whether whoever asks now should not come back on this connection. */
  readonly isLeaving: () => boolean;
}

export type CheckHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** A request that has no answer yet. */
interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly peer: Peer;
  readonly startedAtMs: number;
  input: CheckInput | undefined;
  /** Whether the connection ends with its answer. */
  isLast: boolean;
}

/**
 * One request to the door: always answered, and synchronously as long as Check is. A bug is a denial (`internal`),
 * as through the gRPC door.
 */
export function createCheckHandler(options: CheckHandlerOptions): CheckHandler {
  const { readRequest, check, answerCheck, recordOutcome, onError, isLeaving } = options;

  const bugAnswer = answerCheck(bugOutcome(undefined), nothingForged);

  function write(asked: Asked, answer: CheckAnswer): void {
    asked.isLast ||= isLeaving();
    writeAnswer(asked, answer);
  }

  function answerOutcome(asked: Asked, outcome: Outcome): void {
    try {
      write(asked, answerCheck(outcome, asked.input?.forgedHeaders ?? nothingForged));
    } catch (cause) {
      answerBug(asked, cause);
      return;
    }
    record(asked, outcome);
  }

  function answerBug(asked: Asked, cause: unknown): void {
    write(asked, bugAnswer);
    record(asked, bugOutcome(cause));
    onError(cause);
  }

  function record({ input, startedAtMs }: Asked, outcome: Outcome): void {
    try {
      recordOutcome(outcome, input, performance.now() - startedAtMs);
    } catch (error) {
      onError(error);
    }
  }

  function decide(asked: Asked, body?: Buffer): void {
    const { request, peer } = asked;
    const { method = '', url = '', rawHeaders } = request;
    let outcome: Outcome | Promise<Outcome>;
    try {
      const read = readRequest({ method, url, rawHeaders, body }, peer);
      if (isDenied(read)) {
        outcome = read;
      } else {
        asked.input = read;
        outcome = check(read);
      }
    } catch (cause) {
      answerBug(asked, cause);
      return;
    }
    if (outcome instanceof Promise) answerLater(asked, outcome);
    else answerOutcome(asked, outcome);
  }

  function answerLater(asked: Asked, outcome: Promise<Outcome>): void {
    outcome
      .then(
        (decided) => answerOutcome(asked, decided),
        (cause: unknown) => answerBug(asked, cause),
      )
      .catch(onError);
  }

  /**
   * Answered after its last byte: who is still sending may take an early answer for a fault. Where the body breaks
   * off, nobody is left to answer.
   */
  function drain(asked: Asked): void {
    const { request } = asked;
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = () => decide(asked, Buffer.concat(chunks));
    function count(chunk: Buffer): void {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes <= options.maxBodyBytes) return;
      request.off('data', count).off('end', end);
      asked.isLast = true;
      answerOutcome(asked, bodyTooLarge());
    }
    request.on('data', count).once('end', end);
  }

  return (request, response) => {
    const asked: Asked = {
      request,
      response,
      peer: options.arrive(request, response),
      startedAtMs: performance.now(),
      input: undefined,
      isLast: false,
    };
    if (readFraming(asked)) drain(asked);
    else decide(asked);
  };
}

/** Throws, with nothing sent, where a header can not be one. */
function writeAnswer({ response, isLast }: Asked, { status, headers, body }: CheckAnswer): void {
  response.sendDate = false;
  response.writeHead(status, isLast ? [...headers, 'connection', 'close'] : headers);
  // In one write with the headers.
  response.end(body, 'latin1');
}

const nothingForged: readonly string[] = [];

function bugOutcome(cause: unknown): Denied {
  return denied('internal', 'The request could not be checked.', { cause });
}

function bodyTooLarge(): Denied {
  return denied('body_too_large', 'The body is larger than the gateway takes.');
}

/**
 * Whether a body comes (RFC 9112 section 6.3; a length of 0 is what Envoy says of a request whose body it keeps). Where
 * another protocol is asked for, Node serves the request as any other when nobody listens for it, and then takes no further
 * one from the connection: it ends there.
 */
function readFraming(asked: Asked): boolean {
  const { rawHeaders } = asked.request;
  let hasBody = false;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (name.length === 14) hasBody ||= name.toLowerCase() === 'content-length' && rawHeaders[at + 1] !== '0';
    else if (name.length === 17) hasBody ||= name.toLowerCase() === 'transfer-encoding';
    else if (name.length === 7) asked.isLast ||= name.toLowerCase() === 'upgrade';
  }
  return hasBody;
}
