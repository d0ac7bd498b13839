import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Effort, SuiteResult } from './suite.ts';

/** Microseconds of processor time a call; `check` is all stages from `route` to `limit`, `handler` everything. */
export interface StageCosts {
  readonly nothing: number;
  readonly read: number;
  readonly route: number;
  readonly credential: number;
  readonly identity: number;
  readonly presence: number;
  readonly subject: number;
  readonly tier: number;
  readonly model: number;
  readonly access: number;
  readonly limit: number;
  readonly check: number;
  readonly encode: number;
  readonly record: number;
  readonly handler: number;
}

const words: Readonly<Record<Exclude<keyof StageCosts, 'nothing'>, string>> = {
  read: 'read the CheckRequest (1.5 kB)',
  route: 'route',
  credential: 'credential: the bearer token, its characters checked',
  identity: 'identity: the hash of the token, the look-up',
  presence: 'presence',
  subject: 'subject',
  tier: 'tier',
  model: 'model',
  access: 'access: the look-up',
  limit: 'limit: one request from the lease',
  check: 'all stages together, as Check calls them',
  encode: 'write the CheckResponse (0.8 kB)',
  record: 'metrics and decision log',
  handler: 'everything between the bytes of the request and those of the answer',
};

/** Our own part of a Check, stage by stage, in a process of its own (stages.ts). */
export async function stageCosts({ rounds }: Effort): Promise<SuiteResult> {
  const args = [join(import.meta.dirname, 'stages.js'), String(rounds)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 });
  const costs = JSON.parse(stdout) as StageCosts;
  return {
    title: 'Our own part of a Check, stage by stage',
    words:
      'In process, without the transport: everything cached, a lease in hand, one window. Called in a tight loop, so less than on the way of a request, between which other things fill the processor’s caches. The rest of what a Check costs by gRPC alone is grpc-js, Node’s http2 and the kernel.',
    rows: [],
    verdicts: [],
    figures: Object.entries(words).map(([stage, name]) => ({
      name,
      value: costs[stage as keyof StageCosts],
      unit: 'µs',
    })),
  };
}
