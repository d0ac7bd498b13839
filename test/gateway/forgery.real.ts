import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GatewayOptions } from '../../src/sandbox/envoy-bootstrap.ts';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { send } from './send.ts';

let installation: Installation;
let authorizer: Authorizer;

beforeAll(async () => {
  installation = await startInstallation();
  authorizer = await installation.startAuthorizer();
});

afterAll(() => installation.stop());

const gateways: readonly (Partial<GatewayOptions> & { readonly name: string })[] = [
  { name: 'paths as they came' },
  { name: 'paths normalised, escaped slashes refused', normalizePath: 'REJECT_REQUEST' },
  { name: 'paths normalised, escaped slashes unescaped', normalizePath: 'UNESCAPE_AND_FORWARD' },
  { name: 'raw headers', encodeRawHeaders: true },
];

const question = { model: 'llama', messages: [{ role: 'user', content: 'Hello' }] };

/** Bob may use llama; whatever he writes, nothing of his may reach another model. */
const hostilePaths = [
  '/llm/llama/../qwen-large/v1/chat/completions',
  '/llm/llama/../../llm/qwen-large/v1/chat/completions',
  '/llm/./llama/v1/chat/completions',
  '/llm//llama/v1/chat/completions',
  '//llm/qwen-large/v1/chat/completions',
  '/llm/llama/..;/qwen-large/v1/chat/completions',
  '/llm/llama;x=1/../qwen-large/v1/chat/completions',
  '/llm/llama\\..\\qwen-large\\v1',
  '/llm/llama/%2e%2e/qwen-large/v1/chat/completions',
  '/llm/llama/%2E%2E/qwen-large/v1/chat/completions',
  '/llm/llama/.%2e/qwen-large/v1/chat/completions',
  '/llm/llama%2f..%2fqwen-large/v1/chat/completions',
  '/llm/llama/..%2Fqwen-large/v1/chat/completions',
  '/llm%2fqwen-large/v1/chat/completions',
  '/llm/llama/%5c..%5cqwen-large/v1',
  '/llm/llama/%5C..%5Cqwen-large/v1',
  '/llm/llama/%252e%252e/qwen-large/v1/chat/completions',
  '/llm/llama/%25%32%65%25%32%65/qwen-large/v1',
  '/llm/llama%00/../qwen-large/v1',
  '/llm/llama/v1/%00',
  '/v1/models/../../llm/qwen-large/v1/chat/completions',
  '/maas-api/../llm/qwen-large/v1/chat/completions',
  '/maas-api/%2e%2e/llm/qwen-large/v1/chat/completions',
  '/maas-api/..%2fllm/qwen-large/v1',
];

describe.each(gateways)('with $name', ({ name: _name, ...options }) => {
  let envoy: Envoy;
  let token: string;

  beforeAll(async () => {
    envoy = await installation.startGateway(authorizer, options);
    // A tier with room for the whole run.
    token = await installation.mint(`bob-${JSON.stringify(options)}`, 'enterprise');
  });

  it('never checks a path as one model and serves it as another', async () => {
    for (const path of hostilePaths) {
      installation.modelRequests.length = 0;
      const answer = await send(envoy.port, { path, headers: { authorization: `Bearer ${token}` } });
      for (const received of installation.modelRequests) {
        // Whatever arrives at the model server arrives under the very path that was checked, in one reading.
        expect(received.path, path).toMatch(/^\/llm\/[a-z-]+\/[A-Za-z0-9/-]*$/);
        const [, namespace, model] = received.path.split('/');
        expect(received.headers['x-tiergate-model'], path).toBe(`${namespace}/${model}`);
      }
      // Normalised or refused, never passed on as it came.
      const passedOn = installation.modelRequests.some((received) => received.path === path);
      expect({ path, passedOn, status: answer.status >= 200 }).toEqual({
        path,
        passedOn: false,
        status: true,
      });
    }
  });

  it('takes the model from nothing but the path', async () => {
    installation.modelRequests.length = 0;
    const answer = await send(envoy.port, {
      path: '/llm/llama/v1/chat/completions?model=llm/qwen-large',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'x-tiergate-model': 'llm/qwen-large',
        'x-model': 'llm/qwen-large',
        'x-envoy-original-path': '/llm/qwen-large/v1/chat/completions',
        'x-original-url': '/llm/qwen-large/v1/chat/completions',
      },
      body: JSON.stringify({ ...question, model: 'llm/qwen-large' }),
    });
    expect(answer.status).toBe(200);
    expect(installation.modelRequests.map(({ headers }) => headers['x-tiergate-model'])).toEqual([
      'llm/llama',
    ]);
  });

  it('lets no identity header of a client reach the model', async () => {
    installation.modelRequests.length = 0;
    const forged = {
      'x-tiergate-user': ['root', 'admin'],
      'X-Tiergate-Tier': 'enterprise',
      'x-tiergate-model': 'llm/other',
      'x-tiergate-reservation': 'forged',
      'x-tiergate-reason': 'forged',
      'x-tiergate-anything': 'forged',
      'x-maas-username': 'forged',
      'X-MaaS-Group': '["system:masters"]',
      'x-maas-tier': 'forged',
      'x-maas-subscription': 'forged',
      'x-maas-whatever': 'forged',
    };
    const answer = await send(envoy.port, {
      path: '/llm/llama/v1/chat/completions',
      headers: { ...forged, 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(question),
    });
    expect(answer.status).toBe(200);
    const [received] = installation.modelRequests;
    expect(JSON.stringify(received?.rawHeaders)).not.toContain('forged');
    expect(received?.headers['x-tiergate-tier']).toBe('enterprise');
    const ours = Object.keys(received?.headers ?? {}).filter((header) => /^x-(tiergate|maas)-/.test(header));
    expect(ours.toSorted()).toEqual(['x-tiergate-model', 'x-tiergate-tier', 'x-tiergate-user']);
    expect(received?.headers['x-tiergate-user']).not.toContain('root');
  });

  it('refuses a second authorization, the same or another', async () => {
    installation.modelRequests.length = 0;
    for (const second of [`Bearer ${token}`, 'Bearer other', 'Basic eDp5']) {
      for (const authorization of [
        [`Bearer ${token}`, second],
        [second, `Bearer ${token}`],
      ]) {
        const answer = await send(envoy.port, { path: '/llm/llama/v1/x', headers: { authorization } });
        expect(answer.headers['x-tiergate-reason']).toBe('credential_malformed');
      }
    }
    expect(installation.modelRequests).toEqual([]);
  });
});
