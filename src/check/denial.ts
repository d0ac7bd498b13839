/** The error `type` of OpenAI's error shape, as its SDKs sort errors. */
export type ErrorType =
  | 'authentication_error'
  | 'permission_error'
  | 'invalid_request_error'
  | 'rate_limit_error'
  | 'server_error';

export interface DenialStatus {
  readonly http: 400 | 401 | 403 | 404 | 413 | 429 | 500 | 503;
  /** google.rpc.Code */
  readonly grpc: 3 | 5 | 7 | 8 | 13 | 14 | 16;
  readonly type: ErrorType;
  /** OpenAI's own word where it has one, else the reason. */
  readonly code: string;
  /** Whether waiting helps, so that a `Retry-After` belongs in the answer. */
  readonly retry: boolean;
}

export type DenialReason =
  | 'credential_missing'
  | 'credential_malformed'
  | 'token_expired'
  | 'token_rejected'
  | 'token_revoked'
  | 'wrong_audience'
  | 'no_tier'
  | 'model_forbidden'
  | 'mint_forbidden'
  | 'model_unknown'
  | 'token_unknown'
  | 'path_invalid'
  | 'request_invalid'
  | 'usage_required'
  | 'body_too_large'
  | 'too_many_tokens'
  | 'requests_exceeded'
  | 'tokens_exceeded'
  | 'concurrency_exceeded'
  | 'capacity_exceeded'
  | 'throttled'
  | 'identity_unavailable'
  | 'access_unavailable'
  | 'limit_unavailable'
  | 'overloaded'
  | 'tier_not_provisioned'
  | 'internal';

const authentication = {
  http: 401,
  grpc: 16,
  type: 'authentication_error',
  code: 'invalid_api_key',
  retry: false,
} as const;
const permission = { http: 403, grpc: 7, type: 'permission_error', retry: false } as const;
const notFound = { http: 404, grpc: 5, type: 'invalid_request_error', retry: false } as const;
const invalid = { http: 400, grpc: 3, type: 'invalid_request_error', retry: false } as const;
const exceeded = {
  http: 429,
  grpc: 8,
  type: 'rate_limit_error',
  code: 'rate_limit_exceeded',
  retry: true,
} as const;
const unavailable = {
  http: 503,
  grpc: 14,
  type: 'server_error',
  code: 'service_unavailable',
  retry: true,
} as const;

/**
 * Every reason with its statuses. Reasons are stable: clients, dashboards and alerts key on them.
 * HTTP 503 is only ever "could not tell"; a refusal never is.
 */
export const denialStatus: Readonly<Record<DenialReason, DenialStatus>> = {
  credential_missing: authentication,
  credential_malformed: authentication,
  token_expired: authentication,
  token_rejected: authentication,
  token_revoked: authentication,
  wrong_audience: authentication,
  no_tier: { ...permission, code: 'no_tier' },
  model_forbidden: { ...permission, code: 'model_forbidden' },
  mint_forbidden: { ...permission, code: 'mint_forbidden' },
  model_unknown: { ...notFound, code: 'model_not_found' },
  token_unknown: { ...notFound, code: 'token_unknown' },
  path_invalid: { ...invalid, code: 'path_invalid' },
  request_invalid: { ...invalid, code: 'request_invalid' },
  usage_required: { ...invalid, code: 'usage_required' },
  body_too_large: { ...invalid, http: 413, code: 'body_too_large' },
  too_many_tokens: { http: 429, grpc: 8, type: 'rate_limit_error', code: 'too_many_tokens', retry: false },
  requests_exceeded: exceeded,
  tokens_exceeded: exceeded,
  concurrency_exceeded: exceeded,
  capacity_exceeded: exceeded,
  throttled: exceeded,
  identity_unavailable: unavailable,
  access_unavailable: unavailable,
  limit_unavailable: unavailable,
  overloaded: unavailable,
  tier_not_provisioned: unavailable,
  internal: { http: 500, grpc: 13, type: 'server_error', code: 'internal_error', retry: false },
};
