import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DenialReason, denialStatus } from '../../src/check/denial.ts';
import type { Outcome } from '../../src/check/outcome.ts';
import type { CheckRequestInput } from '../../src/envoy/check-request.ts';
import { createEnvoyServer, type EnvoyServer } from '../../src/envoy/server.ts';
import { gatewayBootstrap } from '../../src/sandbox/envoy-bootstrap.ts';
import { type Envoy, startEnvoy } from '../real/envoy.ts';
import { perTwoMinutes, sampleAllowed, standing } from './sample.ts';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headersDistinct'];
  readonly body: string;
}

/** The door behind a real Envoy; what Check says is chosen by the test, what Envoy makes of it is looked at. */
describe.each([
  ['headers as text, TCP', { encodeRawHeaders: false, failureModeAllow: false, unix: false }],
  ['headers as raw bytes, Unix socket', { encodeRawHeaders: true, failureModeAllow: true, unix: true }],
])('through Envoy, %s', (_name, { encodeRawHeaders, failureModeAllow, unix }) => {
  let outcome: Outcome = sampleAllowed;
  let input: CheckRequestInput | undefined;
  let folder: string;
  let server: EnvoyServer;
  let envoy: Envoy;
  const reached: IncomingMessage[] = [];
  const upstream = createServer((incoming, response) => {
    reached.push(incoming);
    response.setHeader('x-ratelimit-limit-requests', 'the model says so').end('from the model');
  });

  beforeAll(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    folder = await mkdtemp(join(tmpdir(), 'tiergate-door-'));
    server = createEnvoyServer({
      address: unix ? `unix:${join(folder, 'grpc.sock')}` : '127.0.0.1:0',
      check: (asked) => {
        input = asked as CheckRequestInput;
        return outcome;
      },
      headers: ['origin'],
      credentialHeaders: ['authorization', 'x-api-key'],
      realm: 'tiergate',
      recordOutcome: () => undefined,
      onError: (error) => {
        throw error;
      },
    });
    const address = await server.start();
    envoy = await startEnvoy({
      bootstrap: (place) =>
        gatewayBootstrap(place, {
          authorizer: unix ? { path: join(folder, 'grpc.sock') } : { port: Number(address.split(':')[1]) },
          model: { port: (upstream.address() as AddressInfo).port },
          encodeRawHeaders,
          failureModeAllow,
        }),
    });
  });

  afterAll(async () => {
    const startedAtMs = performance.now();
    await server.stop({ drainDelayMs: 0, graceMs: 20_000 });
    // Envoy keeps its connection open; it is asked to go, and goes.
    expect(performance.now() - startedAtMs).toBeLessThan(5000);
    await envoy.stop();
    upstream.closeAllConnections();
    upstream.close();
    await rm(folder, { recursive: true });
  });

  function ask(path: string, headers: Readonly<Record<string, string | string[]>> = {}): Promise<Answer> {
    reached.length = 0;
    input = undefined;
    return new Promise((resolve, reject) => {
      httpRequest(
        { port: envoy.port, path, method: 'POST', headers: { ...headers }, agent: false },
        (response) => {
          let body = '';
          response
            .setEncoding('utf8')
            .on('data', (part: string) => {
              body += part;
            })
            .on('end', () =>
              resolve({ status: response.statusCode, headers: response.headersDistinct, body }),
            );
        },
      )
        .once('error', reject)
        .end();
    });
  }

  it('an allowed request reaches the model with our identity headers and none of the client’s', async () => {
    outcome = sampleAllowed;
    const answer = await ask('/llm/llama/v1/chat/completions?x=1', {
      authorization: 'Bearer a.b.c',
      'x-api-key': ['one', 'two'],
      'x-tiergate-user': ['admin', 'root'],
      'X-Tiergate-Reservation': 'free',
      'x-maas-group': '["admins"]',
      'x-maas-future': '1',
      x_tiergate_tier: 'enterprise',
      'x-other': 'kept',
    });
    expect(answer).toMatchObject({ status: 200, body: 'from the model' });
    const sent = reached[0]?.headersDistinct ?? {};
    expect(
      Object.keys(sent)
        .filter((name) => /tiergate|maas|authorization|api-key/.test(name))
        .toSorted(),
    ).toEqual(['x-tiergate-model', 'x-tiergate-tier', 'x-tiergate-user']);
    expect(sent).toMatchObject({
      'x-tiergate-user': ['alice@example.com'],
      'x-tiergate-tier': ['premium'],
      'x-tiergate-model': ['llm/llama'],
      'x-other': ['kept'],
    });
    expect(answer.headers).toMatchObject({
      'ratelimit-policy': ['"requests-2m";q=20;w=120'],
      ratelimit: ['"requests-2m";r=19;t=119'],
      'x-ratelimit-limit-requests': ['20'],
    });
    expect(input).toMatchObject({
      method: 'POST',
      path: '/llm/llama/v1/chat/completions?x=1',
      source: '127.0.0.1',
    });
    expect(input?.id).toMatch(/^\d+$/);
    expect(input?.headers).toEqual(
      new Map([
        ['authorization', 'Bearer a.b.c'],
        ['x-api-key', 'one,two'],
      ]),
    );
    expect(input?.forgedHeaders.toSorted()).toEqual([
      'x-maas-future',
      'x-maas-group',
      'x-tiergate-reservation',
      'x-tiergate-user',
      'x_tiergate_tier',
    ]);
  });

  it('two authorization headers are seen as one with a comma', async () => {
    await ask('/llm/llama/v1', { authorization: ['Bearer a.b.c', 'Bearer d.e.f'] });
    expect(input?.headers.get('authorization')).toBe('Bearer a.b.c,Bearer d.e.f');
  });

  it('the issuer behind a public path gets the token, and no identity header', async () => {
    outcome = { denied: false, kind: 'public', windows: [] };
    await ask('/maas-api/v1/tokens', { authorization: 'Bearer a.b.c', 'x-maas-username': 'admin' });
    expect(reached[0]?.headers.authorization).toBe('Bearer a.b.c');
    expect(reached[0]?.headers).not.toHaveProperty('x-maas-username');
  });

  it('a user name of any characters arrives percent-encoded', async () => {
    outcome = { ...sampleAllowed, subject: 'Zoë\r\nx-tiergate-tier: enterprise\0' };
    expect(await ask('/llm/llama/v1')).toMatchObject({ status: 200 });
    const name = reached[0]?.headers['x-tiergate-user'];
    expect(decodeURIComponent(String(name))).toBe('Zoë\r\nx-tiergate-tier: enterprise\0');
    expect(reached[0]?.headers['x-tiergate-tier']).toBe('premium');
  });

  it.each(Object.keys(denialStatus) as DenialReason[])(
    'a denial for %s is the client’s answer',
    async (reason) => {
      const { http, code, type } = denialStatus[reason];
      outcome = {
        denied: true,
        reason,
        detail: 'A sentence.',
        retryAfterMs: 1500,
        subject: 'bob',
        windows: [{ ...standing(perTwoMinutes, 0, 90_000), exceeded: true }],
      };
      const answer = await ask(`/denied/${reason}`);
      expect(answer.status).toBe(http);
      expect(reached).toEqual([]);
      expect(JSON.parse(answer.body)).toEqual({
        error: { message: 'A sentence.', type, param: null, code, reason },
      });
      expect(answer.headers['content-type']).toEqual(['application/json']);
      expect(answer.headers['x-tiergate-reason']).toEqual([reason]);
      expect(answer.headers['retry-after']).toEqual(denialStatus[reason].retry ? ['2'] : undefined);
      await expect
        .poll(() => envoy.accessLog().find(({ path }) => path === `/denied/${reason}`))
        .toMatchObject({ status: http, reason, user: 'bob' });
    },
  );
});
