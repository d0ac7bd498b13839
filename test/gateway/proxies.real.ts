import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createModelServer, type ModelRequest } from '../../src/sandbox/model-server.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { type Proxy, startCaddy, startNginx } from './proxies.ts';
import { chat, denial, outcome, send } from './send.ts';
import { question } from './door-cases.ts';

/** NGINX and Caddy as Debian has them, configured as deploy/ says, before the sample model server. */
let installation: Installation;

const policy = `
- {name: free, groups: [tier-free-users], limits: {requests: [{limit: 2, window: 5m}]}, onStoreUnavailable: deny}
- {name: premium, level: 10, groups: [tier-premium-users], limits: {requests: [{limit: 1000, window: 5m}]}}
`;

/** Takes its time between the chunks of a stream. */
const modelRequests: ModelRequest[] = [];
const modelServer = createModelServer({
  chunkDelayMs: 20,
  onRequest: (request) => void modelRequests.push(request),
});
let modelPort: number;

beforeAll(async () => {
  installation = await startInstallation();
  ({ port: modelPort } = await modelServer.start());
});

afterAll(async () => {
  await installation.stop();
  await modelServer.stop();
});

const proxies = [
  { name: 'nginx', start: startNginx },
  { name: 'caddy', start: startCaddy },
] as const;

const llama = '/llm/llama/v1/chat/completions';

describe.each(proxies)('behind $name', ({ name, start }) => {
  let authorizer: Authorizer;
  let proxy: Proxy;
  let token: string;
  const person = (who: string) => `${who}-${name}@example.com`;

  beforeAll(async () => {
    authorizer = await installation.startAuthorizer({ policy, http: `profile: ${name}` });
    proxy = await start({ authorizer: authorizer.httpPort, issuer: modelPort, model: modelPort });
    token = await installation.mint(person('alice'), 'premium');
  });

  afterAll(() => proxy.stop());

  const authorization = () => ({ authorization: `Bearer ${token}`, 'content-type': 'application/json' });

  it('who may passes, with the whole request, and is told what is left', async () => {
    modelRequests.length = 0;
    const answer = await chat(proxy.port, token);
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({ object: 'chat.completion' });
    expect(answer.headers).toMatchObject({
      'ratelimit-policy': '"requests-5m";q=1000;w=300',
      'x-ratelimit-limit-requests': '1000',
      'x-ratelimit-remaining-requests': '999',
    });
    const [received] = modelRequests;
    expect(received).toMatchObject({ method: 'POST', path: llama, body: JSON.stringify(question) });
    expect(received?.headers).toMatchObject({
      'x-tiergate-user': person('alice'),
      'x-tiergate-tier': 'premium',
      'x-tiergate-model': 'llm/llama',
    });
    expect(JSON.stringify(received)).not.toContain(token.slice(-20));
  });

  it('a stream comes as it is made, chunk by chunk', async () => {
    const { port } = proxy;
    const chunks = await new Promise<number>((resolve, reject) => {
      const outgoing = httpRequest(
        { host: '127.0.0.1', port, method: 'POST', path: llama, headers: authorization(), agent: false },
        (incoming) => {
          let count = 0;
          incoming.on('data', () => (count += 1));
          incoming.on('end', () => resolve(count));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(JSON.stringify({ ...question, stream: true }));
    });
    expect(chunks).toBeGreaterThan(3);
  });

  it('no token is a 401 with a challenge, and so is a bad one', async () => {
    const none = await chat(proxy.port, undefined);
    expect(outcome(none)).toEqual(denial(401, 'credential_missing'));
    expect(none.headers['www-authenticate']).toBe('Bearer realm="maas-default-gateway"');
    expect(none.headers['content-type']).toBe('application/json');
    const bad = await chat(proxy.port, 'garbage');
    expect(outcome(bad)).toEqual(denial(401, 'credential_malformed'));
    expect(bad.headers['www-authenticate']).toContain('error="invalid_token"');
    const twice = await send(proxy.port, {
      path: llama,
      headers: { authorization: [`Bearer ${token}`, `Bearer ${token}`] },
    });
    // NGINX may refuse it by itself.
    if (twice.status !== 400) expect(outcome(twice)).toEqual(denial(401, 'credential_malformed'));
  });

  it('a model of another tier is a 403, no model a 404', async () => {
    const free = await installation.mint(person('bob'), 'free');
    expect(outcome(await chat(proxy.port, free, '/llm/qwen-large/v1/x'))).toEqual(
      denial(403, 'model_forbidden'),
    );
    expect(outcome(await chat(proxy.port, token, '/healthz'))).toEqual(denial(404, 'model_unknown'));
  });

  it('a full window is a 429 with Retry-After, limits and a body', async () => {
    const free = await installation.mint(person('carol'), 'free');
    await chat(proxy.port, free);
    await chat(proxy.port, free);
    const answer = await chat(proxy.port, free);
    expect(outcome(answer)).toEqual(denial(429, 'requests_exceeded'));
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(60);
    expect(answer.headers['ratelimit']).toContain('"requests-5m";r=0');
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answer.error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' });
  });

  it('what nobody can tell is a 503 with its reason, and reaches no model', async () => {
    const free = await installation.mint(person('dave'), 'free');
    await chat(proxy.port, free);
    await installation.redisProxy.refuse();
    modelRequests.length = 0;
    const answer = await chat(proxy.port, free);
    await installation.redisProxy.pass();
    expect(outcome(answer)).toEqual(denial(503, 'limit_unavailable'));
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect(modelRequests).toEqual([]);
  });

  const forgeries = [
    'X-Tiergate-User',
    'x-tiergate-reservation',
    'X-Tiergate-New',
    'x-maas-username',
    'X-MaaS-New',
    'X_Tiergate_User',
    'x_maas-group',
  ];

  it.each(forgeries)('a forged %s never reaches the model, or the token API', async (header) => {
    modelRequests.length = 0;
    const headers = { ...authorization(), [header]: 'mallory' };
    const body = JSON.stringify(question);
    await send(proxy.port, { path: llama, headers, body });
    await send(proxy.port, { path: '/v1/models', headers, body });
    for (const received of modelRequests) {
      if (received.path === llama) expect(received.headers['x-tiergate-user']).toBe(person('alice'));
      const known = !/-new$/i.test(header);
      if (known || received.path === llama) expect(JSON.stringify(received)).not.toContain('mallory');
    }
  });

  it.each([
    'x-original-uri',
    'x-original-url',
    'x-original-method',
    'x-forwarded-uri',
    'x-forwarded-method',
    'x-forwarded-host',
    'x-envoy-original-path',
    'x-rewrite-url',
    'x-tiergate-status',
  ])('a client that says %s by itself gains nothing', async (header) => {
    const free = await installation.mint(person(`eve-${header}`), 'free');
    for (const value of ['/maas-api/v1/tokens', llama, 'OPTIONS', '200']) {
      modelRequests.length = 0;
      const answer = await send(proxy.port, {
        path: '/llm/qwen-large/v1/chat/completions',
        headers: { authorization: `Bearer ${free}`, [header]: value },
        body: JSON.stringify(question),
      });
      expect([400, 403]).toContain(answer.status);
      expect(modelRequests).toEqual([]);
    }
  });

  const hostile = [
    '/llm/llama/../qwen-large/v1/chat/completions',
    '/llm/llama/%2e%2e/qwen-large/v1/chat/completions',
    '/llm/llama%2f..%2fqwen-large/v1/chat/completions',
    '/llm//qwen-large/v1/chat/completions',
    '//llm/qwen-large/v1/chat/completions',
    '/llm/llama;x/../qwen-large/v1',
    '/llm/llama\\..\\qwen-large/v1',
    '/v1/models/../../llm/qwen-large/v1/chat/completions',
    '/maas-api/%2e%2e/llm/qwen-large/v1/chat/completions',
    '/maas-api/..%2fllm/qwen-large/v1',
    '/%6clm/qwen-large/v1/chat/completions',
    '/llm/%71wen-large/v1/chat/completions',
    '/llm/qwen-large?/../llama/v1',
    '/llm/llama/%252e%252e/qwen-large/v1',
  ];

  it.each(hostile)('%s is not served as a model that was not checked', async (path) => {
    const free = await installation.mint(person(`mallory-${hostile.indexOf(path)}`), 'free');
    modelRequests.length = 0;
    await send(proxy.port, {
      path,
      headers: { authorization: `Bearer ${free}` },
      body: JSON.stringify(question),
    });
    for (const received of modelRequests) {
      // The token API's stand-in here is the same server: what goes there has no identity.
      if (/^\/(maas-api|v1\/models)/.test(received.path)) {
        expect(received.headers).not.toHaveProperty('x-tiergate-user');
      } else {
        const [, namespace, model] = received.path.split('/');
        expect(`${namespace}/${model}`).toBe('llm/llama');
        expect(received.headers['x-tiergate-model']).toBe('llm/llama');
      }
    }
  });

  it('an authorizer that is gone lets nobody through, and says so', async () => {
    await authorizer.kill();
    modelRequests.length = 0;
    const answer = await chat(proxy.port, token);
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.error).toMatchObject({ type: 'server_error', code: 'service_unavailable' });
    expect(modelRequests).toEqual([]);
  });
});
