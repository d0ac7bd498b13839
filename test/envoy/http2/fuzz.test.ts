import { expect, it } from 'vitest';
import { createRandom } from '../../support/random.ts';
import { fuzzConnection } from './fuzz-connection.ts';

it('answers rightly, or ends, after each of 20,000 mutated conversations', async () => {
  const { alive, over, answered } = await fuzzConnection(createRandom(7), 20_000);
  // Neither all nor none of them: otherwise half of what reads them was not looked at.
  expect(alive).toBeGreaterThan(4000);
  expect(over).toBeGreaterThan(4000);
  expect(answered).toBeGreaterThan(20_000);
});
