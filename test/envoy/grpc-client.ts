import {
  type ChannelCredentials,
  type ChannelOptions,
  type Client,
  type ClientReadableStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ourProtoDir } from './proto-roots.ts';

export interface CheckResponse {
  readonly status: { readonly code: number; readonly message: string } | null;
  readonly http_response?: 'ok_response' | 'denied_response';
  readonly ok_response?: {
    readonly headers: readonly HeaderOption[];
    readonly headers_to_remove: readonly string[];
    readonly response_headers_to_add: readonly HeaderOption[];
  };
  readonly denied_response?: {
    readonly status: { readonly code: string } | null;
    readonly headers: readonly HeaderOption[];
    readonly body: string;
  };
}

interface HeaderOption {
  readonly header: { readonly key: string; readonly value: string };
  readonly append_action: string;
}

export interface HealthStatus {
  readonly status: string;
}

export interface GrpcClient {
  readonly check: (request: object, timeoutMs?: number) => Promise<CheckResponse>;
  /** A Check whose message is no CheckRequest. */
  readonly checkBytes: (message: Buffer) => Promise<Buffer>;
  readonly health: (service: string) => Promise<HealthStatus>;
  readonly watchHealth: (service: string) => ClientReadableStream<HealthStatus>;
  readonly close: () => void;
}

type Unary = (
  request: object,
  options: object,
  done: (error: ServiceError | null, response: unknown) => void,
) => void;

/** A client of the server under test, with stubs made by proto-loader from our protos. */
export function createGrpcClient(
  address: string,
  channel: ChannelCredentials = credentials.createInsecure(),
  options: ChannelOptions = {},
): GrpcClient {
  const loaded = loadPackageDefinition(
    loadSync(['envoy/service/auth/v3/external_auth.proto', 'grpc/health/v1/health.proto'], {
      includeDirs: [ourProtoDir],
      keepCase: true,
      enums: String,
      longs: Number,
      oneofs: true,
      arrays: true,
    }),
  );
  const make = (name: string) => {
    const Stub = name
      .split('.')
      .reduce<GrpcObject[string]>((within, part) => (within as GrpcObject)[part] as GrpcObject, loaded);
    return new (Stub as ServiceClientConstructor)(address, channel, options) as Client &
      Readonly<Record<string, Unary>>;
  };
  const authorization = make('envoy.service.auth.v3.Authorization');
  const health = make('grpc.health.v1.Health');

  const call = <Response>(client: typeof health, method: string, request: object, timeoutMs: number) =>
    new Promise<Response>((resolve, reject) => {
      client[method]?.(request, { deadline: Date.now() + timeoutMs }, (error, response) => {
        if (error === null) resolve(response as Response);
        else reject(error);
      });
    });

  return {
    check: (request, timeoutMs = 5000) => call<CheckResponse>(authorization, 'Check', request, timeoutMs),
    checkBytes: (message) =>
      new Promise((resolve, reject) => {
        authorization.makeUnaryRequest(
          '/envoy.service.auth.v3.Authorization/Check',
          (bytes: Buffer) => bytes,
          (bytes: Buffer) => bytes,
          message,
          { deadline: Date.now() + 5000 },
          (error, response) => {
            if (error === null && response !== undefined) resolve(response);
            else reject(error ?? new Error('no response'));
          },
        );
      }),
    health: (service) => call<HealthStatus>(health, 'Check', { service }, 5000),
    watchHealth: (service) => {
      const watch = health['Watch'] as unknown as (request: object) => ClientReadableStream<HealthStatus>;
      const stream = watch.call(health, { service });
      stream.on('error', () => undefined);
      return stream;
    },
    close: () => {
      authorization.close();
      health.close();
    },
  };
}

/** The next message of a stream, or undefined at its end. */
export function nextOf<Message>(stream: ClientReadableStream<Message>): Promise<Message | undefined> {
  return new Promise((resolve) => {
    const finish = (message?: Message) => {
      stream.off('data', finish).off('end', finish).off('close', finish);
      stream.pause();
      resolve(message);
    };
    stream.once('data', finish).once('end', finish).once('close', finish);
    stream.resume();
  });
}
