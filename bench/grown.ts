import { writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createEnvoyServer } from '../src/envoy/server.ts';
import { ask, createInProcess } from './in-process.ts';
import { grownRequest } from './grown-tokens.ts';

/**
 * An authorizer's wiring and door in which so many tokens are remembered, each asked for twice. Writes how many bytes one of
 * them takes, then listens.
 *
 *     node grown.js ADDRESS TOKENS BYTES-FILE
 */
const [address = '127.0.0.1:0', tokens = '1000', bytesFile = ''] = process.argv.slice(2);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const count = Number(tokens);
const world = createInProcess(count);

for (let warm = 0; warm < 500; warm += 1) await ask(world, grownRequest(count + warm));
const before = usedBytes();
for (let index = 0; index < count; index += 1) await ask(world, grownRequest(index));
// Again: what is made of an answer only when it is used once more counts too.
const step = Math.max(1, Math.floor(count / 100_000));
for (let index = 0; index < count; index += step) await ask(world, grownRequest(index));
writeFileSync(bytesFile, String((usedBytes() - before) / count));

const server = createEnvoyServer({
  address,
  check: world.check,
  headers: [],
  credentialHeaders: ['authorization'],
  realm: 'bench',
  recordOutcome: world.codec.recordOutcome,
  onError: (error) => console.error(error),
});
await server.start();
server.setServing(true);

function usedBytes(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
