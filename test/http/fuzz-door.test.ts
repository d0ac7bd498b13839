import { expect, it } from 'vitest';
import { serveDoor } from './door.ts';
import { echoingCheck, fuzzDoor } from './fuzz-door.ts';

/** Some, so that `npm test` stays quick; fuzz-door.soak.ts has a million. */
it('judges each of 3,000 requests for itself, however the ones before it were broken', async () => {
  const { port, faults } = await serveDoor({ check: echoingCheck });
  const { judged, refused } = await fuzzDoor(port, 3000, 11);
  expect(judged).toBeGreaterThan(300);
  expect(refused).toBeGreaterThan(60);
  expect(faults).toEqual([]);
}, 30_000);
