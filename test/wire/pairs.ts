import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DenialReason } from '../../src/check/denial.ts';
import type { Outcome } from '../../src/check/outcome.ts';

/** One file of this folder: what Envoy asks, and what it is told. */
export interface WirePair {
  readonly description: string;
  /** A CheckRequest, with the field names of Envoy's protos; Structs as plain objects, bytes as base64. */
  readonly request: Readonly<Record<string, unknown>>;
  /** What a stage finds in it; only what matters to the pair. */
  readonly input?: Readonly<Record<string, unknown>>;
  /** What Check says of it. Absent: the door answers by itself. */
  readonly outcome?: Outcome;
  /** A CheckResponse in the same form; `body` parsed. */
  readonly response: Readonly<Record<string, unknown>>;
}

const folder = fileURLToPath(new URL('.', import.meta.url));

export function wirePairs(): ReadonlyMap<string, WirePair> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return new Map(
    names.map((name) => [
      name.slice(0, -'.json'.length),
      JSON.parse(readFileSync(join(folder, name), 'utf8')) as WirePair,
    ]),
  );
}

/** The pair of each reason; complete by its type. */
export const pairByReason: Readonly<Record<DenialReason, string>> = {
  credential_missing: 'denied-credential-missing',
  credential_malformed: 'denied-credential-malformed',
  token_expired: 'denied-token-expired',
  token_rejected: 'denied-token-rejected',
  token_revoked: 'denied-token-revoked',
  wrong_audience: 'denied-wrong-audience',
  no_tier: 'denied-no-tier',
  model_forbidden: 'denied-model-forbidden',
  mint_forbidden: 'denied-mint-forbidden',
  model_unknown: 'denied-model-unknown',
  token_unknown: 'denied-token-unknown',
  path_invalid: 'denied-path-invalid',
  request_invalid: 'denied-request-invalid',
  usage_required: 'denied-usage-required',
  body_too_large: 'denied-body-too-large',
  too_many_tokens: 'denied-too-many-tokens',
  requests_exceeded: 'denied-requests-exceeded',
  tokens_exceeded: 'denied-tokens-exceeded',
  concurrency_exceeded: 'denied-concurrency-exceeded',
  capacity_exceeded: 'denied-capacity-exceeded',
  throttled: 'denied-throttled',
  identity_unavailable: 'denied-identity-unavailable',
  access_unavailable: 'denied-access-unavailable',
  limit_unavailable: 'denied-limit-unavailable',
  overloaded: 'denied-overloaded',
  tier_not_provisioned: 'denied-tier-not-provisioned',
  internal: 'denied-internal',
};
