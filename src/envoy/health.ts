import { fileURLToPath } from 'node:url';
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, ServiceDefinition } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

interface HealthCheckRequest {
  readonly service: string;
}

interface HealthCheckResponse {
  readonly status: ServingStatus;
}

type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

type Watch = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

/** grpc.health.v1.Health: the same for all services of a server, since they come and go together. */
export interface Health {
  readonly definition: ServiceDefinition;
  readonly implementation: {
    readonly Check: (
      call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
      callback: sendUnaryData<HealthCheckResponse>,
    ) => void;
    readonly Watch: (call: Watch) => void;
  };
  /** NOT_SERVING until it is first called with true. */
  readonly setServing: (isServing: boolean) => void;
  /** Ends every Watch, also those that come later: a stream that stays open would hold up the end of the server. */
  readonly end: () => void;
}

/** `services`: full names of those that are served; the empty name, the server as a whole, comes with them. */
export function createHealth(services: readonly string[]): Health {
  const known = new Set(['', ...services]);
  const watches = new Map<Watch, ServingStatus>();
  let serving: ServingStatus = 'NOT_SERVING';
  let isEnding = false;

  return {
    definition: loadHealthDefinition(),
    implementation: {
      Check(call, callback) {
        if (known.has(call.request.service)) callback(null, { status: serving });
        else callback({ code: status.NOT_FOUND, details: 'No such service.' });
      },
      Watch(call) {
        // A service that is unknown now may be known later, says the protocol: the stream stays open.
        const answer = known.has(call.request.service) ? serving : 'SERVICE_UNKNOWN';
        if (isEnding) {
          call.end({ status: answer });
          return;
        }
        watches.set(call, answer);
        call.once('cancelled', () => watches.delete(call));
        call.once('close', () => watches.delete(call));
        call.write({ status: answer });
      },
    },
    setServing(isServing) {
      serving = isServing ? 'SERVING' : 'NOT_SERVING';
      for (const [call, last] of watches) {
        if (last === 'SERVICE_UNKNOWN' || last === serving) continue;
        watches.set(call, serving);
        call.write({ status: serving });
      }
    },
    end() {
      isEnding = true;
      for (const call of watches.keys()) call.end();
      watches.clear();
    },
  };
}

function loadHealthDefinition(): ServiceDefinition {
  const path = fileURLToPath(new URL('../../protos/grpc/health/v1/health.proto', import.meta.url));
  const definition = loadSync(path, { enums: String, defaults: true })['grpc.health.v1.Health'];
  if (definition === undefined || 'format' in definition)
    throw new TypeError(`${path} has no Health service`);
  return definition;
}
