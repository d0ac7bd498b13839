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
  /** Whether answers are due. */
  readonly areDue: () => boolean;
  /** Whether the requests that wait for them take too much to wait with more. */
  readonly areTooManyDue: () => boolean;
  /** Whether the last answer of the connection was given. */
  readonly isOver: () => boolean;
  /** Whether the peer leaves too much unread. */
  readonly isUnread: () => boolean;
  /** Characters that the system has taken. */
  readonly written: () => number;
}

/** So much is gathered before it is written. */
const gatheredBytes = 16 * 1024;
/** More may not wait for the peer: the high-water mark of the connections. */
export const unreadBytes = 16 * 1024;
/** Of requests that wait; then no further one is read. */
const mostDueBytes = 256 * 1024;
const exchangeBytes = 2048;

export function createAnswers({ socket, isLeaving }: AnswersOptions): Answers {
  const due: OpenExchange[] = [];
  let dueBytes = 0;
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
    expect(exchange) {
      due.push(exchange);
      dueBytes += bytesOf(exchange);
    },
    give(exchange, answer) {
      exchange.answer ??= answer;
      for (let first = due[0]; first?.answer !== undefined && !isOver; first = due[0]) {
        due.shift();
        dueBytes -= bytesOf(first);
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
    areDue: () => due.length > 0,
    areTooManyDue: () => dueBytes > mostDueBytes,
    isOver: () => isOver,
    // As long as 'drain' is owed, and not by a mark of our own: nobody would tell us that it is passed.
    isUnread: () => socket.writableNeedDrain,
    written: () => handed - socket.writableLength,
  };
}

/** A small one counts for more than its bytes: so they are no way around the bound. */
function bytesOf({ head, body }: OpenExchange): number {
  return exchangeBytes + head.length + (body?.length ?? 0);
}

/** Section 9.3. */
const close = 'connection: close\r\n';
const keepAlive = 'connection: keep-alive\r\n';
