import { ask, createInProcess } from './in-process.ts';
import { grownRequests } from './grown-tokens.ts';
import { median } from './statistics.ts';

/**
 * What our own part of a Check costs, stage by stage, without the transport: processor time of this process for many calls
 * of each, in turns. Prints JSON: microseconds a call.
 *
 *     node stages.js [ROUNDS]
 */
const rounds = Number(process.argv[2] ?? 9);
const calls = 20_000;
const world = createInProcess(1000);
const next = grownRequests(10);
const requests = Array.from({ length: 64 }, () => next());
for (const request of requests) await ask(world, request);
for (let again = 0; again < 40; again += 1) for (const request of requests) await ask(world, request);

const { codec, check, handler } = world;
const inputs = requests.map((request) =>
  codec.readCheckRequest(request, Number.POSITIVE_INFINITY),
) as never[];
const outcomes = await Promise.all(inputs.map(async (input) => check(input)));
let sent = 0;
const call = (request: Buffer) => ({ request, getDeadline: () => Number.POSITIVE_INFINITY }) as never;
const stages: Readonly<Record<string, (at: number) => void>> = {
  handler: (at) => handler(call(renamed(requests[at % 64] as Buffer)), () => undefined),
  read: (at) => void codec.readCheckRequest(requests[at % 64] as Buffer, Number.POSITIVE_INFINITY),
  check: (at) => void check({ ...(inputs[at % 64] as unknown as object), id: String((sent += 1)) } as never),
  encode: (at) => void codec.encodeCheckResponse(outcomes[at % 64] as never, []),
  record: (at) => codec.recordOutcome(outcomes[at % 64] as never, inputs[at % 64], 0.1),
};

function renamed(request: Buffer): Buffer {
  sent += 1;
  request.write(String(sent).padStart(20, '0'), idAt, 'latin1');
  return request;
}
const idAt = (requests[0] as Buffer).indexOf('12345678901234567890');

const microseconds: Record<string, number[]> = {};
for (let round = 0; round < rounds; round += 1) {
  for (const [name, stage] of Object.entries(stages)) {
    const before = process.cpuUsage();
    for (let at = 0; at < calls; at += 1) {
      stage(at);
      // Blocks are taken by promises, which need a turn.
      if (at % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const { user, system } = process.cpuUsage(before);
    (microseconds[name] ??= []).push((user + system) / calls);
  }
}
console.log(
  JSON.stringify(Object.fromEntries(Object.entries(microseconds).map(([name, all]) => [name, median(all)]))),
);
process.exit();
