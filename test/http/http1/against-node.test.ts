import { expect, it } from 'vitest';
import { compareWithNode } from './against-node.ts';

/** Some, so that `npm test` stays quick; against-node.soak.ts has a million. */
it('takes nothing for a request that Node takes for another, in 2,000 broken conversations', async () => {
  const { same, refused } = await compareWithNode(7, 2000);
  // Neither all nor none: else half of what reads them was not looked at.
  expect(same).toBeGreaterThan(1500);
  expect(refused).toBeGreaterThan(20);
});
