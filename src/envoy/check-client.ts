import { credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';

/** A request as Envoy's ext_authz filter describes it. */
export interface CheckQuestion {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly source: string;
  /** Lower-case names; a header sent several times is joined by commas, as Envoy does. */
  readonly headers: Readonly<Record<string, string>>;
}

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
    }
  | { readonly allowed: false; readonly status: number; readonly headers: HeaderList; readonly body: string };

export interface CheckClient {
  /** Rejects when the call fails or takes longer than the time-out. */
  readonly ask: (question: CheckQuestion, timeoutMs: number) => Promise<CheckAnswer>;
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
  return {
    ask: (question, timeoutMs) =>
      new Promise((resolve, reject) => {
        client.Check(checkRequest(question), { deadline: Date.now() + timeoutMs }, (error, response) => {
          if (error !== null || response === undefined) reject(error ?? new Error('no CheckResponse'));
          else resolve(answerOf(response));
        });
      }),
    close: () => client.close(),
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

function checkRequest({ id, method, path, host, source, headers }: CheckQuestion): object {
  return {
    attributes: {
      source: { address: { socketAddress: { address: source } } },
      request: {
        http: { id, method, path, host, headers: { ...headers, ':method': method, ':path': path } },
      },
    },
  };
}

function answerOf({ status, okResponse, deniedResponse }: CheckResponseMessage): CheckAnswer {
  // As Envoy: any code but OK denies, whatever else the message holds.
  if ((status?.code ?? 0) === 0) {
    return {
      allowed: true,
      headers: headerList(okResponse?.headers),
      headersToRemove: okResponse?.headersToRemove ?? [],
      responseHeaders: headerList(okResponse?.responseHeadersToAdd),
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
