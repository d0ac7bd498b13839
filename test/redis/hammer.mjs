// One process that hammers one subject, run by hammering.ts with what was built as `program`. Argument: JSON. Prints one
// JSON line: when each admitted claim was sent and answered, in microseconds of the machine's monotonic clock.
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const { program, url, limit, windowMs, forMs, atOnce, everyMs, leased } = JSON.parse(process.argv[2]);
const load = (file) => import(join(dirname(program), file));
const { createLeases } = await load('check/lease.js');
const { createRedisConnection } = await load('redis/connection.js');
const { createRedisConsume, createRedisTakeBlock } = await load('redis/consume.js');
const { createRedisSettlements } = await load('redis/settle.js');
const { createSecret } = await load('secret.js');

const connection = createRedisConnection({ target: { kind: 'single', url }, now: Date.now });
await connection.waitUntilReady(5000);
const of = {
  connection,
  keySecret: createSecret('a key of the counters'),
  now: Date.now,
  commandTimeoutMs: 1000,
};
const consume = createRedisConsume(of);
const leases = createLeases({
  consume,
  takeBlock: createRedisTakeBlock(of),
  settle: createRedisSettlements(of).settle,
  newId: randomUUID,
  now: Date.now,
  elapsed: () => performance.now(),
  leastSlotMs: 100,
});
const ask = leased ? leases.consume : consume;
const charges = [{ window: { scope: '*', unit: 'requests', windowMs, limit, mode: 'enforce' }, cost: 1 }];

const microseconds = () => Number(process.hrtime.bigint() / 1000n);
const admitted = [];
let denied = 0;
let failed = 0;
let firstDeniedUs = 0;

function decided(sentUs, decision) {
  if (decision.admitted) admitted.push([sentUs, microseconds()]);
  else {
    denied += 1;
    firstDeniedUs ||= microseconds();
  }
}

const endsAt = performance.now() + forMs;
const waiting = new Set();
while (performance.now() < endsAt) {
  for (let count = 0; count < atOnce; count += 1) {
    const sentUs = microseconds();
    const decision = ask({ subject: 'alice', id: randomUUID(), charges, deadlineAtMs: Date.now() + 1000 });
    if (!(decision instanceof Promise)) {
      decided(sentUs, decision);
      continue;
    }
    const done = decision
      .then(
        (made) => decided(sentUs, made),
        () => (failed += 1),
      )
      .finally(() => waiting.delete(done));
    waiting.add(done);
  }
  await sleep(everyMs);
}
await Promise.all(waiting);
await leases.close();
await connection.close();
process.stdout.write(`${JSON.stringify({ admitted, denied, failed, firstDeniedUs })}\n`);
