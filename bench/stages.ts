import { isDenied } from '../src/check/outcome.ts';
import { grownRequest } from './grown-tokens.ts';
import { ask, createInProcess } from './in-process.ts';
import type { StageCosts } from './stage-costs.ts';
import { median } from './statistics.ts';

/**
 * What our own part of a Check costs, stage by stage, with everything cached and a lease in hand: processor time of this
 * process for many calls of each stage, in turns, medians. Prints JSON: microseconds a call.
 *
 *     node stages.js [ROUNDS]
 */
const rounds = Number(process.argv[2] ?? 9);
const calls = 20_000;
const people = 10;
const world = createInProcess(1000);
const requests = Array.from({ length: people }, (_, index) => grownRequest(index, 'leased'));
const idAt = requests[0]?.indexOf('12345678901234567890') ?? 0;
let sent = 0;

const { codec, check, handler, stages } = world;
for (let again = 0; again < 400; again += 1) await ask(world, renamed(again));

/** One of the requests, with an id that none had before. */
function renamed(at: number): Buffer {
  const request = requests[at % people] ?? Buffer.alloc(0);
  sent += 1;
  request.write(String(sent).padStart(20, '0'), idAt, 'latin1');
  return request;
}

/** What the stages before one give it. */
async function prepare(at: number) {
  const input = codec.readCheckRequest(requests[at % people] ?? Buffer.alloc(0), Number.POSITIVE_INFINITY);
  if (isDenied(input)) throw new Error(input.detail);
  const asking = { source: input.source, deadlineAtMs: Number.POSITIVE_INFINITY };
  const token = known(stages.readCredential(input));
  const principal = known(await stages.identify(token, asking));
  const tier = known(stages.assignTier(principal.groups));
  const model = known(stages.readModel(input));
  const subject = await stages.subjectOf(principal, asking);
  if (typeof subject !== 'string') throw new Error(subject.detail);
  return { input, asking, token, principal, tier, model, subject, outcome: await check(input) };
}

function known<T extends object>(value: T): Exclude<T, { readonly denied: true }> {
  if (isDenied(value)) throw new Error(value.detail);
  return value as Exclude<T, { readonly denied: true }>;
}

const prepared = await Promise.all(requests.map((_, at) => prepare(at)));
type Prepared = (typeof prepared)[number];

const costs: Readonly<Record<keyof StageCosts, (before: Prepared, at: number) => unknown>> = {
  nothing: () => undefined,
  read: (_before, at) => codec.readCheckRequest(requests[at % people] ?? Buffer.alloc(0), 1e15),
  route: ({ input }) => stages.readRoute(input),
  credential: ({ input }) => stages.readCredential(input),
  identity: ({ token, asking }) => stages.identify(token, asking),
  presence: ({ principal, asking }) => stages.checkPresence(principal, asking),
  subject: ({ principal, asking }) => stages.subjectOf(principal, asking),
  tier: ({ principal }) => stages.assignTier(principal.groups),
  model: ({ input }) => stages.readModel(input),
  access: ({ principal, model, asking }) => stages.checkAccess(principal, model, asking),
  limit: ({ principal, model, subject, tier, input }) =>
    stages.checkLimit({
      principal,
      subject,
      tier,
      model,
      input,
      id: String((sent += 1)),
      deadlineAtMs: Date.now() + 10_000,
    }),
  check: ({ input }) => check({ ...input, id: String((sent += 1)) }),
  encode: ({ outcome }) => codec.encodeCheckResponse(outcome, []),
  record: ({ outcome, input }) => codec.recordOutcome(outcome, input, 0.1),
  handler: (_before, at) => handler(renamed(at), Number.POSITIVE_INFINITY, () => undefined),
};

const measured: Record<string, number[]> = {};
for (let round = 0; round < rounds; round += 1) {
  for (const [name, stage] of Object.entries(costs)) {
    const before = process.cpuUsage();
    for (let at = 0; at < calls; at += 1) {
      const given = prepared[at % people];
      if (given !== undefined) stage(given, at);
      // Blocks are taken by promises, which need a turn.
      if (at % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const { user, system } = process.cpuUsage(before);
    (measured[name] ??= []).push((user + system) / calls);
  }
}
const loop = median(measured['nothing'] ?? []);
const entries = Object.entries(measured).map(([name, all]) => [name, Math.max(0, median(all) - loop)]);
console.log(JSON.stringify(Object.fromEntries(entries)));
process.exit();
