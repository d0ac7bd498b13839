import type { Socket } from 'node:net';
import { denied } from '../../check/outcome.ts';
import type { AnswerCheck } from './answer.ts';
import type { Connections } from './connections.ts';

/** How long a peer may take to read why it is turned away. */
const lingerMs = 1000;

/** What Node's parser refuses, by its code; all else is a 400. */
const statusByCode: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

export interface TurnAwayOptions {
  readonly answerCheck: AnswerCheck;
  readonly whenAnswered: Connections['whenAnswered'];
}

/**
 * What to do with a connection on which something came that is no HTTP request, or not in time: it gets a 4xx with
 * `request_invalid`, and is closed. Where an earlier request on it still waits for its answer it gets that one alone, and is
 * closed: a refusal would be taken for it.
 */
export function createTurnAway(
  options: TurnAwayOptions,
): (error: NodeJS.ErrnoException, socket: Socket) => void {
  const { headers, body } = options.answerCheck(
    denied('request_invalid', 'The request can not be read.'),
    [],
  );
  const lines = headers.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
  const rest = `\r\n${lines}connection: close\r\n\r\n${body}`;
  const turnedAway = new WeakSet<Socket>();

  function refuse(socket: Socket, code: string | undefined): void {
    socket.end(`HTTP/1.1 ${statusByCode[code ?? ''] ?? '400 Bad Request'}${rest}`, 'latin1');
    const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once('end', () => socket.destroy());
    socket.once('close', () => clearTimeout(timer));
  }

  return ({ code }, socket) => {
    // The parser says so again of everything that comes after; it is read and dropped meanwhile.
    if (turnedAway.has(socket)) return;
    turnedAway.add(socket);
    // More came after the last request that the peer itself wanted to make: that one's answer closes the connection.
    if (code === 'HPE_CLOSED_CONNECTION') return;
    if (!socket.writable || code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    options.whenAnswered(socket, (isLate) => {
      if (isLate) socket.destroySoon();
      else refuse(socket, code);
    });
  };
}
