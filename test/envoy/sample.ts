import type { WindowState } from '../../src/check/limit.ts';
import type { Allowed } from '../../src/check/outcome.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';

/** As long as a ServiceAccount token of a real cluster. */
export const sampleToken = `${'eyJhbGciOiJSUzI1NiJ9'.repeat(3)}.${'eyJhdWQiOlsibWFhcyJd'.repeat(24)}.${'c2lnbmF0dXJl'.repeat(29)}`;

/** About what Envoy sends for a chat completion: 1.5 kB, of which the token is most. */
export function sampleRequest(more: Readonly<Record<string, string>> = {}) {
  return {
    attributes: {
      source: { address: { socket_address: { address: '10.128.2.17', port_value: 51_234 } } },
      destination: { address: { socket_address: { address: '10.131.0.9', port_value: 8443 } } },
      request: {
        time: { seconds: 1_795_000_000, nanos: 123_456_000 },
        http: {
          id: '12345678901234567890',
          method: 'POST',
          path: '/llm/llama/v1/chat/completions',
          host: 'maas.example.com',
          scheme: 'https',
          size: 312,
          protocol: 'HTTP/1.1',
          headers: {
            ':authority': 'maas.example.com',
            ':method': 'POST',
            ':path': '/llm/llama/v1/chat/completions',
            ':scheme': 'https',
            accept: 'application/json',
            'accept-encoding': 'gzip, deflate, br, zstd',
            authorization: `Bearer ${sampleToken}`,
            'content-length': '312',
            'content-type': 'application/json',
            'user-agent': 'OpenAI/Python 2.9.0',
            'x-forwarded-for': '198.51.100.23',
            'x-forwarded-proto': 'https',
            'x-request-id': '0f6f5d0e-8a4b-4cf2-9f0e-3f0b1f0c2a11',
            'x-stainless-lang': 'python',
            'x-stainless-runtime-version': '3.12.4',
            ...more,
          },
        },
      },
      metadata_context: {},
    },
  };
}

export const perTwoMinutes: WindowLimit = {
  scope: '*',
  unit: 'requests',
  windowMs: 120_000,
  limit: 20,
  mode: 'enforce',
};

export const tokensPerMinute: WindowLimit = {
  scope: '*',
  unit: 'tokens',
  windowMs: 60_000,
  limit: 50_000,
  mode: 'enforce',
};

export function standing(window: WindowLimit, remaining: number, resetAfterMs: number): WindowState {
  return { window, remaining, resetAfterMs, exceeded: false };
}

export const sampleAllowed: Allowed = {
  denied: false,
  kind: 'model',
  subject: 'alice@example.com',
  tier: 'premium',
  model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
  windows: [standing(perTwoMinutes, 19, 118_500)],
};
