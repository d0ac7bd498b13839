import { expect, it } from 'vitest';
import { fuzzCheckRequest } from './fuzz-check-request.ts';
import { loadEnvoyMessages } from './messages.ts';

it('reads or refuses 20,000 generated and mutated CheckRequests', async () => {
  const refused = fuzzCheckRequest(await loadEnvoyMessages(), 20_000, 3);
  // Neither all nor none of the mutants: otherwise half of the decoder was not looked at.
  expect(refused).toBeGreaterThan(4_000);
  expect(refused).toBeLessThan(17_000);
});
