import type { Sent } from './send.ts';

/** Tokens of one door's own people, so that what one door charges is not the other's. */
export interface DoorTokens {
  readonly premium: string;
  /** May send two requests. */
  readonly free: string;
  /** May send two requests; another one. */
  readonly scarce: string;
  /** Without a tier. */
  readonly outsider: string;
  readonly expired: string;
  readonly foreign: string;
  readonly otherAudience: string;
  /** Its account is gone. */
  readonly revoked: string;
}

export interface DoorCase {
  readonly name: string;
  readonly sent: (tokens: DoorTokens) => Partial<Sent>;
  /** Undefined: the model's own. */
  readonly status?: number;
  /** Undefined: the request passes, or it is Envoy that refuses it. */
  readonly reason?: string;
  /** How often it is sent; the last answer is looked at. */
  readonly times?: number;
  /** Envoy answers by itself: no door is asked. */
  readonly unasked?: boolean;
}

export const question = { model: 'llama', messages: [{ role: 'user', content: 'Hello' }] };

const llama = '/llm/llama/v1/chat/completions';
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const premium = ({ premium: token }: DoorTokens) => bearer(token);

function allowed(name: string, more: Partial<Sent> = {}): DoorCase {
  return {
    name,
    sent: (tokens) => ({ ...more, headers: { ...premium(tokens), ...more.headers } }),
  };
}

function refused(
  name: string,
  [status, reason]: readonly [number, string],
  sent: DoorCase['sent'],
): DoorCase {
  return { name, status, reason, sent };
}

const path = (written: string): DoorCase =>
  refused(`the path ${written}`, [400, 'path_invalid'], (tokens) => ({
    path: written,
    headers: premium(tokens),
  }));

const unauthorized = (reason: string) => [401, reason] as const;

/** Every stage with what it can say, then what a client may try. */
export const doorCases: readonly DoorCase[] = [
  allowed('a plain request'),
  allowed('a streamed one', { body: JSON.stringify({ ...question, stream: true }) }),
  allowed('a query', { path: `${llama}?a=/../b&c=%2e%2e` }),
  allowed('another model of the tier', { path: '/llm/qwen-large/v1/chat/completions' }),
  allowed('PUT', { method: 'PUT' }),
  allowed('DELETE', { method: 'DELETE' }),
  allowed('PATCH', { method: 'PATCH' }),
  allowed('a large body', { body: 'x'.repeat(300_000) }),
  allowed('a path that needs a tier only', { path: '/who/am/i' }),
  { name: 'a public path', sent: () => ({ path: '/maas-api/v1/tokens' }) },
  {
    name: 'a public path with a token',
    sent: () => ({ path: '/v1/models', headers: bearer('kept') }),
  },
  {
    name: 'a public path with forged headers',
    sent: () => ({ path: '/v1/models', headers: { 'x-tiergate-user': 'root', 'x-maas-group': 'admins' } }),
  },
  {
    name: 'a CORS preflight',
    sent: () => ({
      method: 'OPTIONS',
      headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' },
    }),
  },
  {
    name: 'the other credential header',
    sent: (tokens) => ({ headers: { 'x-api-key': tokens.premium } }),
  },
  {
    name: 'both credential headers with one token',
    sent: (tokens) => ({ headers: { ...premium(tokens), 'x-api-key': tokens.premium } }),
  },

  refused('no token', unauthorized('credential_missing'), () => ({})),
  refused('OPTIONS that is no preflight', unauthorized('credential_missing'), () => ({ method: 'OPTIONS' })),
  refused('garbage', unauthorized('credential_malformed'), () => ({ headers: bearer('garbage token') })),
  refused('a word that is no JWT', unauthorized('credential_malformed'), () => ({
    headers: bearer('garbage'),
  })),
  refused('an empty bearer', unauthorized('credential_malformed'), () => ({
    headers: { authorization: 'Bearer ' },
  })),
  refused('another scheme', unauthorized('credential_malformed'), () => ({
    headers: { authorization: 'Basic YTpi' },
  })),
  refused('two Authorization headers', unauthorized('credential_malformed'), (tokens) => ({
    headers: { authorization: [`Bearer ${tokens.premium}`, `Bearer ${tokens.free}`] },
  })),
  refused('the same Authorization twice', unauthorized('credential_malformed'), (tokens) => ({
    headers: { authorization: [`Bearer ${tokens.premium}`, `Bearer ${tokens.premium}`] },
  })),
  refused('a good Authorization after a bad one', unauthorized('credential_malformed'), (tokens) => ({
    headers: { authorization: ['Bearer bad', `Bearer ${tokens.premium}`] },
  })),
  refused('two credential headers that differ', unauthorized('credential_malformed'), (tokens) => ({
    headers: { ...premium(tokens), 'x-api-key': tokens.free },
  })),
  refused('the other credential header twice', unauthorized('credential_malformed'), (tokens) => ({
    headers: { 'x-api-key': [tokens.premium, tokens.free] },
  })),
  refused('a token of 20 kB', unauthorized('credential_malformed'), () => ({
    headers: bearer('a'.repeat(20_000)),
  })),
  refused('a token with a byte outside ASCII', unauthorized('credential_malformed'), () => ({
    headers: bearer('t\u00e9'),
  })),
  refused('an expired token', unauthorized('token_expired'), ({ expired }) => ({ headers: bearer(expired) })),
  refused('a forged signature', unauthorized('token_rejected'), ({ foreign }) => ({
    headers: bearer(foreign),
  })),
  refused('another audience', unauthorized('wrong_audience'), ({ otherAudience }) => ({
    headers: bearer(otherAudience),
  })),
  refused('a token whose account is gone', unauthorized('token_revoked'), ({ revoked }) => ({
    headers: bearer(revoked),
  })),
  refused('nobody without a tier', [403, 'no_tier'], ({ outsider }) => ({ headers: bearer(outsider) })),
  refused('a model of another tier', [403, 'model_forbidden'], ({ free }) => ({
    path: '/llm/qwen-large/v1/chat/completions',
    headers: bearer(free),
  })),
  refused('a model that is not there', [403, 'model_forbidden'], (tokens) => ({
    path: '/llm/absent/v1/chat/completions',
    headers: premium(tokens),
  })),
  refused('a path without a model', [404, 'model_unknown'], (tokens) => ({
    path: '/healthz',
    headers: premium(tokens),
  })),
  refused('a model that is no name', [404, 'model_unknown'], (tokens) => ({
    path: '/llm/LLAMA/v1/chat/completions',
    headers: premium(tokens),
  })),
  refused('an encoded model', [404, 'model_unknown'], (tokens) => ({
    path: '/llm/%6c%6c%61%6d%61/v1/chat/completions',
    headers: premium(tokens),
  })),
  refused('a namespace of the token API', [404, 'model_unknown'], (tokens) => ({
    path: '/v1/llama/v1/chat/completions',
    headers: premium(tokens),
  })),
  {
    ...refused('a full window', [429, 'requests_exceeded'], ({ free }) => ({ headers: bearer(free) })),
    times: 3,
  },
  {
    ...refused('a full window, asked again', [429, 'requests_exceeded'], ({ free }) => ({
      headers: bearer(free),
    })),
    times: 2,
  },

  ...[
    '/llm/llama/../qwen-large/v1/chat/completions',
    '/llm/./llama/v1/chat/completions',
    '/llm//llama/v1/chat/completions',
    '//llm/llama/v1/chat/completions',
    '/llm/llama;x=1/v1/chat/completions',
    '/llm/llama\\v1',
    '/llm/llama/%2e%2e/qwen-large/v1',
    '/llm/llama%2F..%2Fqwen-large/v1',
    '/llm/llama/%5c..%5Cqwen-large/v1',
    '/llm/llama/%00/v1',
    '/llm/llama/%252e%252e/qwen-large/v1',
    '/llm/llama/%zz/v1',
    '/v1/models/../../llm/qwen-large/v1',
    '/maas-api/%2e%2e/llm/qwen-large/v1',
  ].map(path),

  ...Object.entries({
    'x-tiergate-user': 'root',
    'x-tiergate-tier': 'enterprise',
    'x-tiergate-model': 'llm/other',
    'x-tiergate-reservation': 'T.1',
    'x-tiergate-anything': '1',
    X_Tiergate_User: 'root',
    'x-maas-username': 'root',
    'x-maas-future': '1',
    'x_maas-group': 'admins',
  }).map(([name, value]) => allowed(`a forged ${name}`, { headers: { [name]: value } })),
  ...Object.entries({
    'x-original-url': '/llm/qwen-large/v1',
    'x-original-uri': '/llm/qwen-large/v1',
    'x-original-method': 'GET',
    'x-forwarded-uri': '/maas-api/v1/tokens',
    'x-forwarded-method': 'GET',
    'x-forwarded-host': 'elsewhere.example',
    'x-envoy-original-path': '/maas-api/v1/tokens',
    'x-envoy-original-method': 'OPTIONS',
    'x-envoy-auth-headers-to-remove': 'x-tiergate-user',
    'x-envoy-expected-rq-timeout-ms': '1',
    'tiergate-source': '10.0.0.1',
    'x-http-method-override': 'GET',
    user: 'mallory',
    slot_id: 'T.1',
    expect: '100-continue',
    te: 'trailers',
  }).map(([name, value]) => allowed(`a client's own ${name}`, { headers: { [name]: value } })),
  allowed('a forged header twice', { headers: { 'x-tiergate-user': ['root', 'admin'] } }),
  allowed('ninety headers', {
    headers: Object.fromEntries(Array.from({ length: 75 }, (_, at) => [`x-padding-${at}`, 'x'.repeat(200)])),
  }),
  {
    ...allowed('more headers than Envoy takes', {
      headers: Object.fromEntries(Array.from({ length: 120 }, (_, at) => [`x-padding-${at}`, 'x'])),
    }),
    status: 431,
    unasked: true,
  },
  { ...allowed('an absolute target', { path: `http://other.example${llama}` }) },
  refused('an absolute target with a hostile path', [400, 'path_invalid'], (tokens) => ({
    path: 'http://other.example/llm/llama/../qwen-large/v1',
    headers: premium(tokens),
  })),
];
