import type { sendUnaryData, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { StreamReceiver } from '../http2/stream.ts';
import { grpcStatus } from './status.ts';
import { createStreamingCall, faultFrom } from './streaming-call.ts';
import { type CallStart, createUnaryCall, type UnaryHandler } from './unary-call.ts';

/** Takes a call of one method. */
export type OpenCall = (call: CallStart) => StreamReceiver;

/** By the path of the request. */
export type Methods = ReadonlyMap<string, OpenCall>;

/** What handlers that are written for grpc-js find in a call: as much of it as ours look at. */
interface HandledCall {
  readonly request: unknown;
  readonly getPeer: () => string;
  readonly getDeadline: () => number;
}

type Handler = (call: unknown, callback?: sendUnaryData<unknown>) => void;

/** The methods of a service that is written for grpc-js. Throws TypeError for one without a handler. */
export function methodsOf(
  definition: ServiceDefinition,
  implementation: UntypedServiceImplementation,
): Methods {
  return new Map(
    Object.entries(definition).map(([name, method]) => {
      const handle = implementation[name] as Handler | undefined;
      if (handle === undefined) throw new TypeError(`${method.path} has no handler`);
      if (method.requestStream) return [method.path, streaming(method, handle)];
      return [
        method.path,
        method.responseStream ? answeringMany(method, handle) : answeringOne(method, handle),
      ];
    }),
  );
}

/** A method in raw bytes, without anything between it and the connection. */
export function rawMethod(handle: UnaryHandler): OpenCall {
  return (call) => createUnaryCall(call, handle);
}

type Method = ServiceDefinition[string];

function answeringOne(method: Method, handle: Handler): OpenCall {
  return rawMethod((bytes, call, send, fail) => {
    let request: unknown;
    try {
      request = method.requestDeserialize(bytes);
    } catch {
      fail({ code: grpcStatus.internal, details: 'the request can not be read' });
      return;
    }
    handle(handledCall(request, call), (error, value) => {
      if (error === null) send(method.responseSerialize(value));
      else fail(faultFrom(error));
    });
  });
}

function handledCall(request: unknown, { peer, deadlineAtMs }: CallStart): HandledCall {
  return { request, getPeer: peer, getDeadline: () => deadlineAtMs };
}

/** One request, many answers: the handler is called once the request is there. */
function answeringMany(method: Method, handle: Handler): OpenCall {
  return (start) => {
    const { call, receiver, finish } = createStreamingCall(start, method);
    call.once('data', (request: unknown) => {
      call.off('end', endWithout);
      handle(Object.assign(call, { request }));
    });
    call.once('end', endWithout);
    function endWithout(): void {
      finish({ code: grpcStatus.internal, details: 'the request ends before its message does' });
    }
    return receiver;
  };
}

/** Many requests: the handler gets them as they come, and answers once, or as it likes. */
function streaming(method: Method, handle: Handler): OpenCall {
  return (start) => {
    const { call, receiver, finish } = createStreamingCall(start, method);
    if (method.responseStream) {
      handle(call);
      return receiver;
    }
    handle(call, (error, value) => {
      if (error === null) {
        call.write(value);
        finish();
      } else {
        finish(faultFrom(error));
      }
    });
    return receiver;
  };
}
