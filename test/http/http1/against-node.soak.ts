import { expect, it } from 'vitest';
import { compareWithNode } from './against-node.ts';

const count = Number(process.env['FUZZ_REQUESTS'] ?? 1_000_000);
const parts = 100;

it(`takes nothing for a request that Node takes for another, in ${count} broken conversations`, async () => {
  const seed = (Date.now() % 1_000_000) * 1000;
  let same = 0;
  let refused = 0;
  for (let part = 0; part < parts; part += 1) {
    const each = Math.ceil(count / parts);
    const tally = await compareWithNode(seed + part * each, each);
    same += tally.same;
    refused += tally.refused;
  }
  console.log(`seeds ${seed} and on: ${same} requests understood alike, ${refused} by Node alone`);
  expect(same).toBeGreaterThan(count / 2);
});
