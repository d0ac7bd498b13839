import { expect, it } from 'vitest';
import { serveDoor } from './door.ts';
import { echoingCheck, fuzzDoor } from './fuzz-door.ts';

const count = Number(process.env['FUZZ_REQUESTS'] ?? 1_000_000);
const parts = 50;

/** What the heap may hold more at the end than after the first part: connections and compiled code come and go. */
const maxGrowthBytes = 32 * 1024 * 1024;

it(`judges each of ${count} requests for itself, without a crash or a leak`, async () => {
  const { port, faults, recorded } = await serveDoor({ check: echoingCheck, recordOutcome: () => undefined });
  const seed = Date.now() % 1_000_000;
  let judged = 0;
  let refused = 0;
  let heapAtFirst = 0;
  // In parts, each with a seed of its own, so that one that failed is soon found again.
  for (let part = 0; part < parts; part += 1) {
    const tally = await fuzzDoor(port, Math.ceil(count / parts), seed + part);
    judged += tally.judged;
    refused += tally.refused;
    if (part === 4) heapAtFirst = heapUsed();
  }
  const growth = heapUsed() - heapAtFirst;
  console.log(
    `seeds ${seed} to ${seed + parts - 1}: ${judged} judged, ${refused} refused; heap grew by ${(growth / 1024 / 1024).toFixed(1)} MiB`,
  );
  expect(recorded).toEqual([]);
  expect(faults).toEqual([]);
  expect(judged).toBeGreaterThan(count / 10);
  expect(growth).toBeLessThan(maxGrowthBytes);
});

function heapUsed(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
