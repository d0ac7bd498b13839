import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createEncodeCheck, toModel, writeChecks, writeHttpRequests } from './requests.ts';
import { authorizerCpu, inTurns, p99, perSecond, ratio } from './suite.ts';
import { startWorld, type World } from './world.ts';

/**
 * `bench/compare BASE [--rounds N] [--seconds N]`: the working tree's authorizer against that of another commit, in
 * alternating runs of the same load. BASE is built in a work tree of its own, with this one's packages.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '9' }, seconds: { type: 'string', default: '3' } },
});
const [base] = positionals;
if (base === undefined) throw new Error('usage: bench/compare BASE [--rounds N] [--seconds N]');
const effort = { rounds: Number(values.rounds), seconds: Number(values.seconds) };

const tree = mkdtempSync(join(tmpdir(), 'tiergate-compare-'));
let world: World | undefined;
try {
  execFileSync('git', ['worktree', 'add', '--detach', '--force', tree, base], { stdio: 'ignore' });
  symlinkSync(resolve('node_modules'), join(tree, 'node_modules'));
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: tree, stdio: ['ignore', 'inherit', 'inherit'] });
  world = await startWorld({
    people: ['leased', 'exact'].map((tier) => ({ tier, subjects: 10, tokensEach: 1 })),
    models: 10,
  });
  await compare(world, join(tree, 'dist/main.js'));
} finally {
  await world?.stop();
  execFileSync('git', ['worktree', 'remove', '--force', tree]);
  rmSync(tree, { recursive: true, force: true });
}

async function compare({ tokensOf, folder, ...rest }: World, program: string): Promise<void> {
  const encode = await createEncodeCheck();
  const parts = { tokensOf, folder, ...rest };
  const [theirs, ours] = [await rest.startAuthorizer({ program }), await rest.startAuthorizer()];
  const [before, after] = [await rest.startGateway(theirs), await rest.startGateway(ours)];
  const http = writeHttpRequests(
    folder,
    'leased',
    tokensOf('leased').map((token) => toModel(token)),
  );
  const load = (port: number) => (seconds: number) =>
    ({ kind: 'wrk', port, file: http, connections: 32, seconds: Math.ceil(seconds) }) as const;
  console.error('through Envoy, leased limits:');
  const rows = await inTurns(
    parts,
    [
      { name: 'base', answerer: theirs, gateway: before, load: load(before.port) },
      { name: 'now', answerer: ours, gateway: after, load: load(after.port) },
    ],
    effort,
  );
  say('throughput through Envoy, leased', ratio(rows, ['now', 'base'], perSecond));
  say('p99 through Envoy, closed loop', ratio(rows, ['now', 'base'], p99));
  for (const tier of ['leased', 'exact']) {
    const file = writeChecks(
      folder,
      tier,
      tokensOf(tier).map((token) => encode(toModel(token))),
    );
    const byGrpc = (address: string) => (seconds: number) =>
      ({ kind: 'grpc', address, requests: { file }, inFlight: 100, warmUpSeconds: 0.5, seconds }) as const;
    console.error(`gRPC alone, ${tier} limits:`);
    const alone = await inTurns(
      parts,
      [
        { name: 'base', answerer: theirs, load: byGrpc(theirs.address) },
        { name: 'now', answerer: ours, load: byGrpc(ours.address) },
      ],
      effort,
    );
    say(`CPU a Check, gRPC alone, ${tier}`, ratio(alone, ['now', 'base'], authorizerCpu));
  }
}

function say(words: string, { median, low, high, pairs }: ReturnType<typeof ratio>): void {
  console.log(
    `${words}: now to base ${median.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)}, ${pairs} pairs)`,
  );
}
