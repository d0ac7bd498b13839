import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Connection,
  type ConnectionLimits,
  createConnection,
} from '../../../src/envoy/http2/connection.ts';
import type { RequestHead } from '../../../src/envoy/http2/request-head.ts';
import type { Stream } from '../../../src/envoy/http2/stream.ts';
import { createFrameSplitter, frameType, hello, literalBlock, type SeenFrame } from './frames.ts';
import { createSocketPair } from '../../support/socket-pair.ts';

/** A request as the server under test was told of it. */
export interface Begun {
  readonly stream: Stream;
  readonly head: RequestHead;
  readonly fields: readonly string[];
  readonly pieces: Buffer[];
  readonly body: () => Buffer;
  isReceived: boolean;
  cancelled: number;
  /** Ends it with headers, this text and trailers. */
  readonly answer: (text?: Buffer | string) => void;
}

export interface OpenConnection {
  readonly connection: Connection;
  /** The client's end. */
  readonly client: Duplex;
  readonly send: (...pieces: readonly Buffer[]) => Promise<void>;
  /** Whatever came back, in order. */
  readonly seen: readonly SeenFrame[];
  readonly ofType: (type: number, streamId?: number) => readonly SeenFrame[];
  /** The DATA of a stream, together. */
  readonly bodyOf: (streamId: number) => Buffer;
  readonly begun: readonly Begun[];
  /** What handlers threw. */
  readonly bugs: readonly unknown[];
  readonly hasEnded: () => boolean;
}

export interface OpenOptions {
  readonly limits?: Partial<ConnectionLimits>;
  /** Of the client. */
  readonly settings?: readonly (readonly [name: number, value: number])[];
  /** Called once the request is complete. Default: nothing, the test answers. */
  readonly onRequest?: (begun: Begun) => void;
  /** False: the test says the first words itself. */
  readonly saysHello?: boolean;
}

const answerHead = literalBlock([[':status', '200']]);
const answerEnd = literalBlock([['x-end', 'yes']]);

/** Long enough for everything in memory to arrive. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 5; turns += 1) await nextTurn();
}

/** The server's side of a connection, and the client's in frames. */
export async function openConnection(options: OpenOptions = {}): Promise<OpenConnection> {
  const [server, client] = createSocketPair();
  const seen: SeenFrame[] = [];
  const begun: Begun[] = [];
  const bugs: unknown[] = [];
  let hasEnded = false;
  client.on(
    'data',
    createFrameSplitter((frame) => seen.push(frame)),
  );
  for (const event of ['end', 'close']) {
    client.on(event, () => {
      hasEnded = true;
    });
  }
  client.on('error', () => undefined);
  const connection = createConnection(server, {
    beginStream: (stream, head, fields) => {
      const one: Begun = {
        stream,
        head,
        fields: fields.map(({ name, value }) => `${name}: ${value}`),
        pieces: [],
        body: () => Buffer.concat(one.pieces),
        isReceived: false,
        cancelled: 0,
        answer(text = '') {
          connection.sendHeaders(stream, answerHead);
          connection.sendData(stream, Buffer.from(text));
          connection.end(stream, answerEnd);
        },
      };
      begun.push(one);
      return {
        receive(bytes, isEnd) {
          one.pieces.push(bytes);
          one.isReceived = isEnd;
          if (isEnd) options.onRequest?.(one);
        },
        cancelled() {
          one.cancelled += 1;
        },
      };
    },
    limits: {
      streamWindowBytes: 65_535,
      maxConcurrentStreams: 100,
      maxHeaderListBytes: 16_384,
      ...options.limits,
    },
    onError: (error) => bugs.push(error),
  });
  const send = async (...pieces: readonly Buffer[]) => {
    client.write(Buffer.concat(pieces));
    await settled();
  };
  if (options.saysHello !== false) await send(hello(options.settings));
  const ofType = (type: number, streamId?: number) =>
    seen.filter((frame) => frame.type === type && (streamId === undefined || frame.streamId === streamId));
  return {
    connection,
    client,
    send,
    seen,
    ofType,
    bodyOf: (id) => Buffer.concat(ofType(frameType.data, id).map(({ payload }) => payload)),
    begun,
    bugs,
    hasEnded: () => hasEnded,
  };
}

/** The codes of RST_STREAM for a stream, or of GOAWAY. */
export function codesOf({ ofType }: OpenConnection, streamId?: number): readonly number[] {
  return streamId === undefined
    ? ofType(frameType.goAway).map(({ payload }) => payload.readUInt32BE(4))
    : ofType(frameType.rstStream, streamId).map(({ payload }) => payload.readUInt32BE(0));
}
