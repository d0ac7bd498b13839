import type { Duplex } from 'node:stream';
import type { Answer } from './answer.ts';
import { createAnswers } from './answers.ts';
import { type BodyReader, createBodyReader } from './body-reader.ts';
import type { Exchange, OpenExchange, Receiver } from './exchange.ts';
import { createHeadReader } from './head-reader.ts';
import type { Piece } from './piece.ts';
import type { RequestHead } from './request-head.ts';
import { RequestFault } from './request-fault.ts';
import { type ConnectionTimes, createWatch } from './watch.ts';

export interface ConnectionLimits {
  /** Of request line and headers; of trailers too. */
  readonly maxHeaderBytes: number;
  /** Of a body; what is longer is not read to its end. */
  readonly maxBodyBytes: number;
}

export interface ConnectionOptions {
  readonly limits: ConnectionLimits;
  readonly times: ConnectionTimes;
  /** The clock of `times`. */
  readonly tick: () => number;
  /** Whether whoever is answered now should not come back on this connection. */
  readonly isLeaving: () => boolean;
  /** To what is no request, or not in time (a status of RFC 9110 below 500), and where the receiver threw (500). */
  readonly refusal: (status: number) => Answer;
  /** Told of bugs: what the receiver threw. Must not throw. */
  readonly onError: (error: unknown) => void;
}

export interface Connection {
  /** Once for each exchange. What is said on a connection that is gone is dropped. */
  readonly answer: (exchange: Exchange, answer: Answer) => void;
  /** To be called at each tick: ends what takes too long. */
  readonly look: () => void;
  /** Ends it unless a request is under way. */
  readonly endIfIdle: () => void;
}

/**
 * The server's side of HTTP/1.1 (RFC 9112), for servers whose answers are small and often there at once: one write for all
 * answers to what was read at once, and no timer. While the peer leaves answers unread, or many requests wait, nothing is read.
 */
export function createConnection(
  socket: Duplex,
  serve: (answer: Connection['answer']) => Receiver,
  options: ConnectionOptions,
): Connection {
  const { limits, times, tick, isLeaving, refusal, onError } = options;
  const heads = createHeadReader(limits.maxHeaderBytes);
  const answers = createAnswers({ socket, isLeaving });
  const watch = createWatch(times, tick);
  const receiver = serve(answer);
  /** The request whose body comes. */
  let current: { readonly exchange: OpenExchange; readonly body: BodyReader } | undefined;
  let awaitsContinue = false;
  /** What could not be read yet. */
  let held: Piece | undefined;
  let isFresh = true;
  let isReading = false;
  /** No request follows. */
  let isOver = false;
  /** Nor an answer. */
  let isEnded = false;

  function mayRead(): boolean {
    return !isOver && !answers.isOver() && !answers.areTooManyDue() && !answers.isUnread();
  }

  function isAmidRequest(): boolean {
    return !isOver && (current !== undefined || heads.isBegun());
  }

  function read(piece: Piece): void {
    isReading = true;
    try {
      while (piece.at < piece.bytes.length && mayRead()) {
        if (current === undefined) readHead(piece);
        else readBody(piece, current);
      }
    } catch (error) {
      if (!(error instanceof RequestFault)) onError(error);
      refuse(error instanceof RequestFault ? error.status : 500);
    }
    isReading = false;
    if (piece.at < piece.bytes.length && !isOver) {
      held = piece;
      socket.pause();
    }
    settle();
  }

  function readHead(piece: Piece): void {
    if (!heads.isBegun()) watch.begin();
    const head = heads.read(piece);
    if (head !== undefined) begin(head);
  }

  function begin(head: RequestHead): void {
    const { framing } = head;
    const exchange: OpenExchange = {
      head,
      receivedAtMs: performance.now(),
      body: undefined,
      isBodyTooLong: framing.contentLength > limits.maxBodyBytes,
      isLast: !framing.keepsOpen,
      answer: undefined,
    };
    if (exchange.isBodyTooLong || (!framing.isChunked && framing.contentLength === 0)) {
      receive(exchange);
      return;
    }
    const body = createBodyReader({
      framing,
      isKept: receiver.wantsBody(head),
      maxBytes: limits.maxBodyBytes,
      maxTrailerBytes: limits.maxHeaderBytes,
    });
    current = { exchange, body };
    ({ awaitsContinue } = framing);
  }

  function readBody(piece: Piece, { exchange, body }: NonNullable<typeof current>): void {
    const state = body.read(piece);
    if (state === 'more') return;
    exchange.isBodyTooLong = state === 'too long';
    exchange.body = exchange.isBodyTooLong ? undefined : body.take();
    current = undefined;
    awaitsContinue = false;
    receive(exchange);
  }

  function receive(exchange: OpenExchange): void {
    // What follows a body that was not read is no request.
    exchange.isLast ||= exchange.isBodyTooLong;
    isOver = exchange.isLast;
    answers.expect(exchange);
    try {
      receiver.receive(exchange);
    } catch (error) {
      onError(error);
      answers.give(exchange, refusal(500));
    }
  }

  /** In its turn, behind the answers that are due. */
  function refuse(status: number): void {
    current = undefined;
    awaitsContinue = false;
    isOver = true;
    const exchange = { ...refused };
    answers.expect(exchange);
    answers.give(exchange, refusal(status));
  }

  function answer(exchange: Exchange, given: Answer): void {
    if (isEnded) return;
    // There are no others than ours.
    answers.give(exchange as OpenExchange, given);
    watch.touch();
    if (!isReading) settle();
  }

  /** After anything that may have changed what there is to do. */
  function settle(): void {
    if (awaitsContinue && !answers.areDue()) {
      awaitsContinue = false;
      answers.proceed();
    }
    answers.flush();
    if (answers.isOver() || (isOver && !answers.areDue())) end();
    else if (held !== undefined && mayRead()) resume(held);
  }

  function resume(piece: Piece): void {
    held = undefined;
    watch.begin();
    read(piece);
    if (held === undefined) socket.resume();
  }

  /** What still comes is dropped until the peer has closed its side too: it might else never read our answer (section 9.6). */
  function end(): void {
    if (isEnded) return;
    isOver = true;
    isEnded = true;
    held = undefined;
    watch.touch();
    socket.end();
    socket.resume();
  }

  socket.on('data', (bytes: Buffer) => {
    if (isOver) return;
    isFresh = false;
    watch.touch();
    read({ bytes, at: 0 });
  });
  socket.on('drain', settle);
  socket.on('end', () => {
    if (isAmidRequest()) refuse(400);
    isOver = true;
    settle();
  });
  // It is closed then.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isOver = true;
    isEnded = true;
    held = undefined;
    current = undefined;
  });

  return {
    answer,
    look() {
      const waiting = socket.writableLength;
      if (watch.isUnreadTooLong(answers.written(), waiting)) socket.destroy();
      else if (isEnded && waiting === 0 && watch.isTooLong('ended')) socket.destroy();
      if (held !== undefined) settle();
      // Else it is the peer that waits.
      if (isOver || held !== undefined) return;
      if (isAmidRequest() || isFresh) {
        if (!watch.isTooLong(current === undefined ? 'head' : 'body')) return;
        refuse(408);
        settle();
      } else if (!answers.areDue() && watch.isTooLong('idle')) end();
    },
    endIfIdle() {
      if (!isAmidRequest() && held === undefined && !answers.areDue()) end();
    },
  };
}

/** What stands for a request that is none. */
const refused: OpenExchange = {
  head: {
    method: '',
    target: '',
    rawHeaders: [],
    length: 0,
    framing: {
      isOldVersion: false,
      isChunked: false,
      contentLength: 0,
      keepsOpen: false,
      awaitsContinue: false,
    },
  },
  receivedAtMs: 0,
  body: undefined,
  isBodyTooLong: false,
  isLast: true,
  answer: undefined,
};
