import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadEnvoyMessages } from '../test/envoy/messages.ts';
import { sampleRequest } from '../test/envoy/sample.ts';
import { modelPath } from './cluster-order.ts';

/** One request as the client makes it. */
export interface Sent {
  readonly token?: string;
  readonly path: string;
}

const body = JSON.stringify({
  model: 'llama',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Hello' }],
});

export const toModel = (token: string, model = 'llama'): Sent => ({ token, path: modelPath(model) });

/** A file of whole HTTP requests, as wrk.lua and load-http.ts read it. */
export function writeHttpRequests(folder: string, name: string, sent: readonly Sent[]): string {
  const file = join(folder, `${name}.http`);
  const blocks = sent.map(({ token, path }) =>
    [
      `POST ${path} HTTP/1.1`,
      'host: maas.example.com',
      ...(token === undefined ? [] : [`authorization: Bearer ${token}`]),
      'content-type: application/json',
      'user-agent: OpenAI/Python 2.9.0',
      'accept: application/json',
      `content-length: ${body.length}`,
      '',
      body,
    ].join('\n'),
  );
  writeFileSync(file, `${blocks.join('\n--\n')}\n--\n`);
  return file;
}

export type EncodeCheck = (sent: Sent) => Buffer;

/** CheckRequests as Envoy makes them of such a request, by Envoy's own schema. */
export async function createEncodeCheck(): Promise<EncodeCheck> {
  const { encodeRequest } = await loadEnvoyMessages();
  const { attributes } = sampleRequest();
  const { http } = attributes.request;
  const { authorization: _sample, ...headers } = http.headers;
  return ({ token, path }) =>
    encodeRequest({
      attributes: {
        ...attributes,
        request: {
          ...attributes.request,
          http: {
            ...http,
            path,
            headers: {
              ...headers,
              ':path': path,
              ...(token !== undefined && { authorization: `Bearer ${token}` }),
            },
          },
        },
      },
    });
}

/** A file of them, as load-grpc.ts reads it. */
export function writeChecks(folder: string, name: string, checks: readonly Buffer[]): string {
  const file = join(folder, `${name}.checks`);
  const parts = checks.flatMap((check) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(check.length);
    return [length, check];
  });
  writeFileSync(file, Buffer.concat(parts));
  return file;
}
