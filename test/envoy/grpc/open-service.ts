import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { type GrpcLimits, serveConnection } from '../../../src/envoy/grpc/serve-connection.ts';
import { methodsOf, type OpenCall, rawMethod } from '../../../src/envoy/grpc/services.ts';
import type { UnaryHandler } from '../../../src/envoy/grpc/unary-call.ts';
import {
  createFrameSplitter,
  data,
  frameType,
  hello,
  readLiteralBlock,
  request,
  type SeenFrame,
} from '../http2/frames.ts';
import { settled } from '../http2/open-connection.ts';
import { createSocketPair } from '../../support/socket-pair.ts';

const unaryPath = '/test.Service/Unary';

const same = (bytes: Buffer) => bytes;
export const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Service/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

export interface OpenServiceOptions {
  readonly unary?: UnaryHandler;
  readonly definition?: ServiceDefinition;
  readonly implementation?: UntypedServiceImplementation;
  readonly limits?: Partial<GrpcLimits>;
}

/** A connection to methods in raw bytes, as frames: `Unary` answers with its request where nothing else is said. */
export async function openService({ unary, definition, implementation, limits }: OpenServiceOptions = {}) {
  const [server, client] = createSocketPair();
  const seen: SeenFrame[] = [];
  client.on(
    'data',
    createFrameSplitter((frame) => seen.push(frame)),
  );
  client.on('error', () => undefined);
  const answer: UnaryHandler = unary ?? ((bytes, _call, send) => send(bytes));
  const methods = new Map<string, OpenCall>([
    [unaryPath, rawMethod(answer)],
    ...(definition === undefined ? [] : methodsOf(definition, implementation ?? {})),
  ]);
  const bugs: unknown[] = [];
  serveConnection(server, {
    methods,
    limits: { maxMessageBytes: 1000, maxHeaderListBytes: 2000, maxConcurrentStreams: 100, ...limits },
    peer: () => '10.0.0.1:5',
    onError: (error) => bugs.push(error),
  });
  const send = async (...pieces: readonly Buffer[]) => {
    client.write(Buffer.concat(pieces));
    await settled();
  };
  const ofType = (type: number, streamId: number) =>
    seen.filter((frame) => frame.type === type && frame.streamId === streamId);
  /** All header fields of the answer, trailers too. */
  const fieldsOf = (streamId: number) =>
    Object.fromEntries(
      ofType(frameType.headers, streamId).flatMap(({ payload }) => readLiteralBlock(payload)),
    );
  await send(hello());
  return {
    client,
    bugs,
    send,
    ofType,
    fieldsOf,
    /** Its messages, with what is before them. */
    bodyOf: (streamId: number) =>
      Buffer.concat(ofType(frameType.data, streamId).map(({ payload }) => payload)),
    /** A whole call: the bytes of its body, in one frame. */
    call: async (streamId: number, body: Buffer, fields: Fields = []) => {
      await send(callHead(streamId, fields), data(streamId, body, true));
      return fieldsOf(streamId);
    },
  };
}

type Fields = readonly (readonly [name: string, value: string])[];

/** HEADERS of a call; the fields stand for others of their name. */
export function callHead(streamId: number, fields: Fields = [], isEnd = false): Buffer {
  const names = new Set(fields.map(([name]) => name));
  const usual: Fields = [
    [':path', unaryPath],
    ['te', 'trailers'],
    ['content-type', 'application/grpc'],
  ];
  return request(streamId, { fields: [...usual.filter(([name]) => !names.has(name)), ...fields], isEnd });
}

/** A message as it goes over the wire. */
export function message(text: Buffer | string, flag = 0): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
