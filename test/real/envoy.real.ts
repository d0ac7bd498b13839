import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Envoy, startEnvoy } from './envoy.ts';
import { type GatewayOptions, gatewayBootstrap } from '../../src/sandbox/envoy-bootstrap.ts';
import type { Endpoint } from '../../src/sandbox/envoy-cluster.ts';
import { freePort } from './free-port.ts';
import { hasEnded } from './process-table.ts';

interface Upstream {
  readonly port: number;
  readonly requests: readonly IncomingMessage[];
  readonly stop: () => void;
}

async function startUpstream(name: string): Promise<Upstream> {
  const requests: IncomingMessage[] = [];
  const server = createServer((incoming, response) => {
    requests.push(incoming);
    response.end(name);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** What of Envoy's CheckRequest the tests below look at. */
interface Check {
  readonly attributes: {
    readonly request: {
      readonly http: {
        readonly id: string;
        readonly path: string;
        readonly headers: Readonly<Record<string, string>>;
        readonly headerMap: { readonly headers: readonly { readonly key: string }[] } | null;
      };
    };
    readonly contextExtensions: Readonly<Record<string, string>>;
  };
}

interface RecordingAuthorizer {
  readonly checks: readonly Check[];
  /** How many of the coming checks fail with UNAVAILABLE. */
  readonly failNext: (count: number) => void;
  readonly stop: () => void;
}

/** Allows everything and keeps what it was asked, read with Envoy's own protos. */
async function startRecordingAuthorizer(address: string): Promise<RecordingAuthorizer> {
  const protos = join(import.meta.dirname, '../../node_modules/@grpc/grpc-js-xds/deps');
  const definitions = loadSync('envoy/service/auth/v3/external_auth.proto', {
    includeDirs: ['envoy-api', 'googleapis', 'protoc-gen-validate', 'xds'].map((name) => join(protos, name)),
  });
  const service = definitions['envoy.service.auth.v3.Authorization'];
  if (service === undefined || 'format' in service) throw new Error('no Authorization service in the protos');
  const checks: Check[] = [];
  let failuresLeft = 0;
  const server = new Server();
  server.addService(service, {
    Check: (call: ServerUnaryCall<Check, object>, answer: sendUnaryData<object>) => {
      checks.push(call.request);
      failuresLeft -= 1;
      if (failuresLeft >= 0) answer({ code: status.UNAVAILABLE });
      else answer(null, { status: { code: status.OK } });
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (fault) =>
      fault === null ? resolve() : reject(fault),
    );
  });
  return { checks, failNext: (count) => (failuresLeft = count), stop: () => server.forceShutdown() };
}

describe('a real Envoy', () => {
  let model: Upstream;
  let issuer: Upstream;
  let authorizer: RecordingAuthorizer;
  let authorizerAt: Endpoint;
  const running: Envoy[] = [];

  beforeAll(async () => {
    model = await startUpstream('model');
    issuer = await startUpstream('issuer');
    const port = await freePort();
    authorizerAt = { port };
    authorizer = await startRecordingAuthorizer(`127.0.0.1:${port}`);
  });
  afterAll(async () => {
    await Promise.all(running.map((envoy) => envoy.stop()));
    authorizer.stop();
    model.stop();
    issuer.stop();
  });

  async function gateway(options: Partial<GatewayOptions> = {}): Promise<Envoy> {
    const upstreams = { authorizer: authorizerAt, model, issuer };
    const envoy = await startEnvoy({
      bootstrap: (place) => gatewayBootstrap(place, { ...upstreams, ...options }),
    });
    running.push(envoy);
    return envoy;
  }

  it('asks the authorizer, then routes to the model or the issuer', async () => {
    const envoy = await gateway({ contextExtensions: { 'tiergate.class': 'public' } });
    const texts: string[] = [];
    for (const path of ['/llm/llama/v1/chat/completions', '/maas-api/v1/tokens', '/v1/models', '/v1/modelsx'])
      texts.push(await (await fetch(envoy.url + path)).text());
    expect(texts).toEqual(['model', 'issuer', 'issuer', 'model']);
    const check = authorizer.checks.at(-4);
    expect(check?.attributes.request.http.path).toBe('/llm/llama/v1/chat/completions');
    expect(check?.attributes.contextExtensions).toEqual({ 'tiergate.class': 'public' });
    await expect
      .poll(() => envoy.accessLog().map((entry) => entry['upstream']))
      .toEqual(['model', 'issuer', 'issuer', 'model']);
  });

  it('shows the authorizer the allowed headers only', async () => {
    const envoy = await gateway({ allowedHeaders: ['authorization'] });
    await fetch(envoy.url, { headers: { authorization: 'Bearer a', 'x-other': 'b' } });
    const names = Object.keys(authorizer.checks.at(-1)?.attributes.request.http.headers ?? {});
    expect(names).toContain('authorization');
    expect(names).not.toContain('x-other');
  });

  it('sends headers as a header map where told to', async () => {
    const envoy = await gateway({ encodeRawHeaders: true });
    await fetch(envoy.url, { headers: { authorization: 'Bearer a' } });
    const http = authorizer.checks.at(-1)?.attributes.request.http;
    expect(http?.headers ?? {}).toEqual({});
    expect(http?.headerMap?.headers.map((header) => header.key)).toContain('authorization');
  });

  it('leaves a hostile path as it is, unless told to normalise', async () => {
    const asIs = await gateway();
    const normalising = await gateway({ normalizePath: 'UNESCAPE_AND_FORWARD' });
    const path = '/llm//a/..%2Fb/%2e%2e/c';
    // fetch would tidy up the path itself.
    await getRaw(asIs.port, path);
    expect(model.requests.at(-1)?.url).toBe(path);
    await getRaw(normalising.port, path);
    expect(model.requests.at(-1)?.url).toBe('/llm/c');
    expect(authorizer.checks.at(-1)?.attributes.request.http.path).toBe('/llm/c');
  });

  it('repeats a failed check under the same id where told to', async () => {
    const envoy = await gateway({ retry: { attempts: 2, on: 'unavailable' } });
    const before = authorizer.checks.length;
    authorizer.failNext(1);
    expect((await fetch(envoy.url)).status).toBe(200);
    const ids = authorizer.checks.slice(before).map((check) => check.attributes.request.http.id);
    expect(ids.length).toBe(2);
    expect(new Set(ids).size).toBe(1);
  });

  it('answers 503 when nobody listens as authorizer, or lets pass where told to', async () => {
    const nobody = { port: await freePort() };
    const closed = await gateway({ authorizer: nobody });
    expect((await fetch(closed.url)).status).toBe(503);
    expect(await closed.stat('http.gateway.ext_authz.error')).toBe(1);
    const other = await gateway({ authorizer: nobody, statusOnError: 502 });
    expect((await fetch(other.url)).status).toBe(502);
    const open = await gateway({ authorizer: nobody, failureModeAllow: true });
    expect(await (await fetch(open.url)).text()).toBe('model');
  });

  it('reaches the authorizer over a Unix socket', async () => {
    const path = join(tmpdir(), `tiergate-envoy-${process.pid}.sock`);
    const local = await startRecordingAuthorizer(`unix:${path}`);
    const envoy = await gateway({ authorizer: { path } });
    expect((await fetch(envoy.url)).status).toBe(200);
    expect(local.checks.length).toBe(1);
    local.stop();
  });

  it('leaves no process behind', async () => {
    const envoy = await gateway();
    expect(hasEnded(envoy.pid)).toBe(false);
    await envoy.stop();
    expect(hasEnded(envoy.pid)).toBe(true);
    await expect(fetch(envoy.url)).rejects.toThrow('fetch failed');
  });
});

async function getRaw(port: number, path: string): Promise<void> {
  const [response] = (await once(request({ port, path, host: '127.0.0.1' }).end(), 'response')) as [
    IncomingMessage,
  ];
  response.resume();
  await once(response, 'end');
}
