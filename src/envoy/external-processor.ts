import { type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import type { MetadataScalar } from '../check/check-input.ts';
import type { RequestEnd } from '../settle/request-end.ts';
import { createUsageReader, type UsageReader } from '../settle/usage-in-body.ts';
import type { IsBelieved } from './believed-peers.ts';
import { readProcessingRequest } from './processing-request.ts';
import type { GrpcService } from './server.ts';

/**
 * `ended`: the end of an answer. `cut`: a stream that ended before its answer had: the client or the model went away.
 * `unreserved`: a stream about a request without a reservation. `dropped`: an answer that is not looked into, because
 * too much is held, or too many streams are open. `answering`: a filter that is not in observability mode, let go at once.
 * `foreign`: a peer that is not believed. `broken`: a message that nobody can read.
 */
export type ExternalProcessorEvent =
  | 'ended'
  | 'cut'
  | 'unreserved'
  | 'dropped'
  | 'answering'
  | 'foreign'
  | 'broken';

export interface ExternalProcessorOptions {
  /** Told of each end once, also of those that are cut. Must not throw. */
  readonly receive: (end: RequestEnd) => void;
  readonly isBelieved: IsBelieved;
  readonly observe: (event: ExternalProcessorEvent) => void;
  /** Streams that are open at once, at most; one for each answer under way. Default 10 000. */
  readonly maxStreams?: number;
  /** Bytes of answers held for all streams together, at most; 1 MiB for one. Default 64 MiB. */
  readonly maxHeldBytes?: number;
}

export interface ExternalProcessor extends GrpcService {
  readonly streams: () => number;
  readonly heldBytes: () => number;
}

type Call = ServerDuplexStream<Buffer, Buffer>;

const same = (message: Buffer) => message;

const definition: ServiceDefinition = {
  Process: {
    path: '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
};

/**
 * `envoy.service.ext_proc.v3.ExternalProcessor`, for gateways that can not find usage themselves. Only for filters in
 * observability mode: Envoy sends copies of what goes to the client, waits for nothing, and nothing is ever answered. From
 * any other filter's way it steps aside at once: a stream that ends well lets the request go on without it.
 */
export function createExternalProcessor(options: ExternalProcessorOptions): ExternalProcessor {
  const { receive, isBelieved, observe, maxStreams = 10_000, maxHeldBytes = 64 * 1024 * 1024 } = options;
  let open = 0;
  let heldBytes = 0;

  function follow(call: Call): void {
    let granted: ReadonlyMap<string, MetadataScalar> | undefined;
    let reader: UsageReader | undefined;
    let answerStatus: number | undefined;
    let responseBytes = 0;
    let isOver = false;
    let held = 0;
    open += 1;

    function hold(bytes: number): void {
      heldBytes += bytes - held;
      held = bytes;
    }

    function finish(event: ExternalProcessorEvent): void {
      if (isOver) return;
      isOver = true;
      open -= 1;
      const usage = reader?.usage();
      reader = undefined;
      hold(0);
      observe(event);
      if (granted?.has('reservation_id') === true) {
        receive({ granted, usage, status: answerStatus, responseBytes });
      }
    }

    function takeBody(body: Buffer): void {
      responseBytes += body.length;
      if (reader === undefined) return;
      reader.write(body);
      hold(reader.heldBytes());
      if (heldBytes <= maxHeldBytes) return;
      reader = undefined;
      hold(0);
      observe('dropped');
    }

    function take(message: Buffer): void {
      const { headers, body, isEnd, isObserving, ...said } = readProcessingRequest(
        message,
        granted === undefined,
      );
      if (!isObserving) {
        finish('answering');
        call.end();
        return;
      }
      granted ??= said.granted ?? new Map();
      if (headers !== undefined) {
        answerStatus = Number(headers.get(':status') ?? 0);
        reader = createUsageReader({
          contentType: headers.get('content-type'),
          contentEncoding: headers.get('content-encoding'),
        });
      }
      if (body !== undefined) takeBody(body);
      if (isEnd) finish(granted.has('reservation_id') ? 'ended' : 'unreserved');
    }

    call.on('data', (message: Buffer) => {
      if (isOver) return;
      try {
        take(message);
      } catch {
        finish('broken');
        call.end();
      }
    });
    call.on('end', () => {
      finish('cut');
      call.end();
    });
    call.on('cancelled', () => finish('cut'));
    call.on('error', () => finish('cut'));
  }

  function process(call: Call): void {
    // A stream that is cut off is no fault: Envoys come and go.
    call.on('error', () => undefined);
    const refuse = (event: ExternalProcessorEvent, code: status, details: string) => {
      observe(event);
      call.emit('error', { code, details });
    };
    if (!isBelieved(call)) refuse('foreign', status.PERMISSION_DENIED, 'this address may not tell of others');
    else if (open >= maxStreams) refuse('dropped', status.RESOURCE_EXHAUSTED, 'too many streams are open');
    else follow(call);
  }

  return {
    definition,
    implementation: { Process: process },
    streams: () => open,
    heldBytes: () => heldBytes,
  };
}
