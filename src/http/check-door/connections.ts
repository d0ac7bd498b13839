import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Peer } from './read-request.ts';

/** What is known of each connection. */
export interface Connections {
  /** To be told of every request, before its answer: Node sends answers in the order of requests. */
  readonly arrive: (request: IncomingMessage, response: ServerResponse) => Peer;
  /**
   * Calls back when the answers to all whole requests on the connection are out: at once where they are, `isLate` false.
   * One whose body is not all there is nobody's request any more.
   */
  readonly whenAnswered: (socket: Socket, done: (isLate: boolean) => void) => void;
}

interface Connection extends Peer {
  request: IncomingMessage;
  response: ServerResponse;
  /** To the request before. */
  before: ServerResponse | undefined;
}

/** `isTrusted` is asked once for each connection. */
export function createConnections(isTrusted: (address: string | undefined) => boolean): Connections {
  const connections = new WeakMap<Socket, Connection>();
  return {
    arrive(request, response) {
      const { socket } = request;
      const known = connections.get(socket);
      if (known !== undefined) {
        known.before = known.response;
        known.request = request;
        known.response = response;
        return known;
      }
      const { remoteAddress } = socket;
      const first = {
        isTrusted: isTrusted(remoteAddress),
        address: remoteAddress ?? '',
        request,
        response,
        before: undefined,
      };
      connections.set(socket, first);
      return first;
    },
    whenAnswered(socket, done) {
      const known = connections.get(socket);
      const last = known?.request.complete === true ? known.response : known?.before;
      if (last === undefined || last.writableFinished) done(false);
      else last.once('close', () => done(true));
    },
  };
}
