import {
  type ClientWritableStream,
  credentials,
  loadPackageDefinition,
  makeGenericClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';
import { loadService } from './load-service.ts';

/** A request as Envoy's ext_authz filter describes it. */
export interface CheckQuestion {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly source: string;
  /** Lower-case names; a header sent several times is joined by commas, as Envoy does. */
  readonly headers: Readonly<Record<string, string>>;
  /** All of it, where the gateway has waited for that. */
  readonly body?: Uint8Array | undefined;
}

/** The end of a request, as far as the authorizer asks about it. */
export interface ToldEnd {
  readonly granted: Granted;
  /** 0: there was no answer. */
  readonly status: number;
  readonly responseBytes: number;
  /** Numbers by the names of the metadata namespace `tiergate`. */
  readonly usage: Readonly<Record<string, number>>;
}

/** What the authorizer wants to be told again at the end: text and numbers of its dynamic metadata. */
export type Granted = Readonly<Record<string, string | number>>;

type HeaderList = readonly (readonly [name: string, value: string])[];

/** A CheckResponse, as Envoy applies it. */
export type CheckAnswer =
  | {
      readonly allowed: true;
      /** Set on the request to the upstream, in place of the client's. */
      readonly headers: HeaderList;
      readonly headersToRemove: readonly string[];
      /** Added to the answer to the client. */
      readonly responseHeaders: HeaderList;
      /** Its end is to be told where it has a `slot_id` or a `reservation_id`. */
      readonly granted: Granted;
    }
  | { readonly allowed: false; readonly status: number; readonly headers: HeaderList; readonly body: string };

export interface CheckClient {
  /** Rejects when the call fails or takes longer than the time-out. */
  readonly ask: (question: CheckQuestion, timeoutMs: number) => Promise<CheckAnswer>;
  /** Tells the end of a request, as Envoy's access log does; like that, it may get lost. */
  readonly tellEnd: (end: ToldEnd) => void;
  readonly close: () => void;
}

interface HeaderOption {
  readonly header: { readonly key: string; readonly value: string } | null;
}

/** What proto-loader makes of a CheckResponse with the options below. */
interface CheckResponseMessage {
  readonly status: { readonly code: number } | null;
  readonly okResponse: {
    readonly headers: readonly HeaderOption[];
    readonly headersToRemove: readonly string[];
    readonly responseHeadersToAdd: readonly HeaderOption[];
  } | null;
  readonly deniedResponse: {
    readonly status: { readonly code: number } | null;
    readonly headers: readonly HeaderOption[];
    readonly body: string;
  } | null;
  readonly dynamicMetadata: {
    readonly fields: Readonly<
      Record<string, { readonly stringValue?: string; readonly numberValue?: number } | undefined>
    >;
  } | null;
}

type CheckCall = (
  request: object,
  options: { readonly deadline: number },
  done: (error: ServiceError | null, response?: CheckResponseMessage) => void,
) => void;

const protos = fileURLToPath(new URL('../../protos/', import.meta.url));

/** Asks a Check as Envoy would. For the sandbox's gateway; nothing on the authorizer's own way uses it. */
export function createCheckClient(address: string): CheckClient {
  const definition = loadSync('envoy/service/auth/v3/external_auth.proto', {
    includeDirs: [protos],
    arrays: true,
    defaults: true,
    enums: Number,
  });
  const Client = serviceAt(loadPackageDefinition(definition), 'envoy.service.auth.v3.Authorization');
  const client = new Client(address, credentials.createInsecure()) as unknown as {
    readonly Check: CheckCall;
    readonly close: () => void;
  };
  const accessLog = openAccessLog(address);
  return {
    ask: (question, timeoutMs) =>
      new Promise((resolve, reject) => {
        client.Check(checkRequest(question), { deadline: Date.now() + timeoutMs }, (error, response) => {
          if (error !== null || response === undefined) reject(error ?? new Error('no CheckResponse'));
          else resolve(answerOf(response));
        });
      }),
    tellEnd: (end) => accessLog.write(endOf(end)),
    close() {
      accessLog.close();
      client.close();
    },
  };
}

type ServiceConstructor = new (
  address: string,
  channel: ReturnType<typeof credentials.createInsecure>,
) => object;

function serviceAt(root: object, path: string): ServiceConstructor {
  const found = path
    .split('.')
    .reduce<unknown>((at, step) => (at as Readonly<Record<string, unknown>>)[step], root);
  return found as ServiceConstructor;
}

function checkRequest({ id, method, path, host, source, headers, body }: CheckQuestion): object {
  return {
    attributes: {
      source: { address: { socketAddress: { address: source } } },
      request: {
        http: {
          id,
          method,
          path,
          host,
          headers: {
            ...headers,
            ':method': method,
            ':path': path,
            ...(body !== undefined && { 'x-envoy-auth-partial-body': 'false' }),
          },
          ...(body !== undefined && { size: body.length, rawBody: body }),
        },
      },
    },
  };
}

/** One stream for all entries, opened with the first, and anew after it was lost. */
function openAccessLog(address: string) {
  const definition = loadService(
    'envoy/service/accesslog/v3/als.proto',
    'envoy.service.accesslog.v3.AccessLogService',
  );
  const Client = makeGenericClientConstructor(definition, 'AccessLogService');
  const client = new Client(address, credentials.createInsecure());
  const method = definition['StreamAccessLogs'];
  let stream: ClientWritableStream<object> | undefined;

  function open(): ClientWritableStream<object> | undefined {
    if (method === undefined) return undefined;
    const { path, requestSerialize, responseDeserialize } = method;
    const lost = () => {
      stream = undefined;
    };
    return client
      .makeClientStreamRequest<object, object>(path, requestSerialize, responseDeserialize, lost)
      .on('error', lost);
  }

  return {
    write(entry: object): void {
      stream ??= open();
      stream?.write(entry);
    },
    close(): void {
      stream?.end();
      client.close();
    },
  };
}

function endOf({ granted, status, responseBytes, usage }: ToldEnd): object {
  const common_properties = {
    access_log_type: 'DownstreamEnd',
    metadata: {
      filter_metadata: { 'envoy.filters.http.ext_authz': structOf(granted), tiergate: structOf(usage) },
    },
  };
  const response = { response_code: { value: status }, response_body_bytes: responseBytes };
  return { http_logs: { log_entry: [{ common_properties, response }] } };
}

function structOf(scalars: Granted): object {
  const values = Object.entries(scalars).map(([key, value]) => [
    key,
    typeof value === 'string' ? { stringValue: value } : { numberValue: value },
  ]);
  return { fields: Object.fromEntries(values) };
}

function grantedOf({ dynamicMetadata }: CheckResponseMessage): Granted {
  const granted: Record<string, string | number> = {};
  for (const [key, value] of Object.entries(dynamicMetadata?.fields ?? {})) {
    const scalar = value?.stringValue ?? value?.numberValue;
    if (scalar !== undefined) granted[key] = scalar;
  }
  return granted;
}

function answerOf(response: CheckResponseMessage): CheckAnswer {
  const { status, okResponse, deniedResponse } = response;
  // As Envoy: any code but OK denies, whatever else the message holds.
  if ((status?.code ?? 0) === 0) {
    return {
      allowed: true,
      headers: headerList(okResponse?.headers),
      headersToRemove: okResponse?.headersToRemove ?? [],
      responseHeaders: headerList(okResponse?.responseHeadersToAdd),
      granted: grantedOf(response),
    };
  }
  return {
    allowed: false,
    status: deniedResponse?.status?.code ?? 403,
    headers: headerList(deniedResponse?.headers),
    body: deniedResponse?.body ?? '',
  };
}

function headerList(options: readonly HeaderOption[] = []): HeaderList {
  return options.flatMap(({ header }) => (header === null ? [] : [[header.key, header.value] as const]));
}
