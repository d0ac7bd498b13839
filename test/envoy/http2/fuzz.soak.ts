import { expect, it } from 'vitest';
import { heldBytes } from '../../support/held-bytes.ts';
import { createRandom } from '../../support/random.ts';
import { fuzzConnection } from './fuzz-connection.ts';

it('answers rightly, or ends, after each of 1,000,000 mutated conversations, and keeps nothing of them', async () => {
  const seed = Date.now() % 1_000_000;
  let alive = 0;
  let warmBytes = 0;
  // In parts, each with a seed of its own, so that one that failed is soon found again.
  for (let part = 0; part < 100; part += 1) {
    const random = createRandom(seed + part);
    const ran = await fuzzConnection(random, 10_000).catch((cause: unknown) => {
      throw new Error(`seed ${seed + part}`, { cause });
    });
    alive += ran.alive;
    if (part === 4) warmBytes = await heldBytes();
  }
  const grownBytes = (await heldBytes()) - warmBytes;
  console.log(
    `seeds ${seed} to ${seed + 99}: ${alive} of 1000000 still answered, ${grownBytes} bytes more held`,
  );
  expect(alive).toBeGreaterThan(200_000);
  expect(grownBytes).toBeLessThan(2 * 1024 * 1024);
});
