import {
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  credentials,
  makeGenericClientConstructor,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { atEnd } from './serve.ts';

/** A client of one service, which ends with the test. */
export function createServiceClient(
  definition: ServiceDefinition,
  address: string,
  channel: ChannelCredentials = credentials.createInsecure(),
  options: Partial<ClientOptions> = {},
): Client {
  const client = new (makeGenericClientConstructor(definition, 'service'))(address, channel, options);
  atEnd(() => client.close());
  return client;
}

/** One call of a unary method; rejects with grpc-js's ServiceError. */
export function callUnary<Response>(
  client: Client,
  { definition, method }: { readonly definition: ServiceDefinition; readonly method: string },
  request: object,
  timeoutMs = 5000,
): Promise<Response> {
  const found = definition[method];
  if (found === undefined) throw new TypeError(`no method ${method}`);
  const { path, requestSerialize, responseDeserialize } = found;
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + timeoutMs;
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      { deadline },
      (error, response) => {
        if (error === null) resolve(response as Response);
        else reject(error);
      },
    );
  });
}
