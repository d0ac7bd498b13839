import { expect, it } from 'vitest';
import { loadEnvoyMessages } from '../envoy/messages.ts';
import { fuzzCheck } from './fuzz-check.ts';
import { createFuzzCluster } from './fuzz-world.ts';

it('lets nothing pass of 20,000 generated requests that should not, and answers every one', async () => {
  const world = { messages: await loadEnvoyMessages(), cluster: await createFuzzCluster() };
  const tally = await fuzzCheck(world, 20_000, 7);
  // Every way that a request can end was taken, and often: else the run has shown less than it says.
  for (const [outcome, least] of Object.entries({
    'allowed public': 200,
    'allowed identity': 50,
    'allowed model': 1_500,
    'denied credential_missing': 100,
    'denied credential_malformed': 500,
    'denied token_expired': 50,
    'denied token_rejected': 100,
    'denied token_revoked': 50,
    'denied wrong_audience': 50,
    'denied no_tier': 50,
    'denied model_unknown': 200,
    'denied model_forbidden': 500,
    'denied path_invalid': 1_000,
    'denied request_invalid': 1_000,
    'denied requests_exceeded': 50,
    'denied identity_unavailable': 50,
    'denied access_unavailable': 20,
  })) {
    expect(tally[outcome] ?? 0, outcome).toBeGreaterThan(least);
  }
});
