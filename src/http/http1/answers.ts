import type { Duplex } from 'node:stream';
import { type Answer, statusLine } from './answer.ts';
import type { OpenExchange } from './exchange.ts';

export interface AnswersOptions {
  readonly socket: Duplex;
  /** Whether whoever is answered now should not come back on this connection. */
  readonly isLeaving: () => boolean;
}

/** The answers of one connection: in the order of its requests, whichever is there first (RFC 9112 section 9.3.2). */
export interface Answers {
  /** A request that has come; its answer follows those to all before. */
  readonly expect: (exchange: OpenExchange) => void;
  /** Once for each request. It leaves by the next `flush`, at the latest. */
  readonly give: (exchange: OpenExchange, answer: Answer) => void;
  /** `100 Continue`, to whoever sends the body of a request behind all that are due. */
  readonly proceed: () => void;
  readonly flush: () => void;
  /** Requests without an answer, and those behind them. */
  readonly due: () => number;
  /** Whether the last answer of the connection was given. */
  readonly isOver: () => boolean;
  /** Whether the peer leaves too much unread. */
  readonly isUnread: () => boolean;
  /** Characters that the system has taken. */
  readonly written: () => number;
}

/** So much is gathered before it is written, and so much may wait for the peer. */
const gatheredBytes = 16 * 1024;
const unreadBytes = 16 * 1024;

export function createAnswers({ socket, isLeaving }: AnswersOptions): Answers {
  const due: OpenExchange[] = [];
  let gathered = '';
  let handed = 0;
  let isOver = false;

  function flush(): void {
    if (gathered === '') return;
    const text = gathered;
    gathered = '';
    handed += text.length;
    socket.write(text, 'latin1');
  }

  function append({ head, isLast }: OpenExchange, { status, headers, body }: Answer): void {
    const { isOldVersion } = head.framing;
    const connection = isLast ? close : isOldVersion ? keepAlive : '';
    gathered += `${statusLine(status)}${headers}${connection}\r\n${head.method === 'HEAD' ? '' : body}`;
    if (gathered.length > gatheredBytes) flush();
  }

  return {
    expect: (exchange) => due.push(exchange),
    give(exchange, answer) {
      exchange.answer ??= answer;
      for (let first = due[0]; first?.answer !== undefined && !isOver; first = due[0]) {
        due.shift();
        // Who has asked for more by now gets answers to all of it.
        first.isLast ||= due.length === 0 && isLeaving();
        isOver = first.isLast;
        append(first, first.answer);
      }
    },
    proceed() {
      gathered += 'HTTP/1.1 100 Continue\r\n\r\n';
    },
    flush,
    due: () => due.length,
    isOver: () => isOver,
    isUnread: () => socket.writableLength > unreadBytes,
    written: () => handed - socket.writableLength,
  };
}

/** Section 9.3. */
const close = 'connection: close\r\n';
const keepAlive = 'connection: keep-alive\r\n';
