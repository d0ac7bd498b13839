import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { checkMethod } from '../src/envoy/authorization.ts';
import { grownRequests } from './grown-tokens.ts';
import { beginWord, loadResult } from './load-result.ts';

/**
 * Checks over one gRPC connection, as one worker of Envoy has it: a closed loop with so many in flight, or an open one at a
 * fixed rate, whose latencies run from the time at which a Check was due, so that a stall is counted by everyone it delays.
 *
 *     node load-grpc.js LOAD-AS-JSON
 */
export interface GrpcLoad {
  readonly address: string;
  /** Of encoded CheckRequests, each after its length in four bytes; or so many tokens of grown-tokens.ts. */
  readonly requests: { readonly file: string } | { readonly grown: number };
  readonly inFlight: number;
  /** Absent: a closed loop. */
  readonly ratePerSecond?: number | undefined;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** Stands in every request for Envoy's stream id, which no two requests share. */
const idPlaceholder = Buffer.from('12345678901234567890');

const load = JSON.parse(process.argv[2] ?? '{}') as GrpcLoad;
const nextRequest =
  'file' in load.requests ? requestsOf(load.requests.file) : grownRequests(load.requests.grown);
const client = new Client(load.address, credentials.createInsecure(), { 'grpc.enable_channelz': 0 });
const { path, requestSerialize, responseDeserialize } = checkMethod;
let sent = Math.floor(Math.random() * 2 ** 32) * 2 ** 20;
let latenciesMs: number[] = [];
let asked = 0;
let denied = 0;
let failed = 0;

function ask(sinceMs: number, done: () => void): void {
  asked += 1;
  const request = nextRequest();
  const at = request.indexOf(idPlaceholder);
  if (at >= 0) {
    sent += 1;
    request.write(String(sent).padStart(idPlaceholder.length, '0'), at, 'latin1');
  }
  client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) => {
    if (error !== null || response === undefined) failed += 1;
    else {
      latenciesMs.push(performance.now() - sinceMs);
      // CheckResponse.status comes first; empty is OK.
      if (response[1] !== 0) denied += 1;
    }
    done();
  });
}

function forget(): void {
  latenciesMs = [];
  denied = 0;
  failed = 0;
}

/** Resolves when all that was sent is answered; the seconds it took. */
function closedLoop(seconds: number): Promise<number> {
  const startedAtMs = performance.now();
  const endsAtMs = startedAtMs + seconds * 1000;
  let running = load.inFlight;
  return new Promise((resolve) => {
    const next = () => {
      const nowMs = performance.now();
      if (nowMs < endsAtMs) ask(nowMs, next);
      else {
        running -= 1;
        if (running === 0) resolve((nowMs - startedAtMs) / 1000);
      }
    };
    for (let each = 0; each < load.inFlight; each += 1) next();
  });
}

async function openLoop(seconds: number, ratePerSecond: number): Promise<number> {
  const startedAtMs = performance.now();
  const everyMs = 1000 / ratePerSecond;
  const due = Math.round(seconds * ratePerSecond);
  const answers = { awaited: due };
  for (let request = 0; request < due; ) {
    const nowMs = performance.now();
    for (; request < due && startedAtMs + request * everyMs <= nowMs; request += 1) {
      ask(startedAtMs + request * everyMs, () => (answers.awaited -= 1));
    }
    await sleep(1);
  }
  while (answers.awaited > 0) await sleep(1);
  return (performance.now() - startedAtMs) / 1000;
}

const run = (seconds: number) =>
  load.ratePerSecond === undefined ? closedLoop(seconds) : openLoop(seconds, load.ratePerSecond);

await run(load.warmUpSeconds);
forget();
console.log(beginWord);
const seconds = await run(load.seconds);
console.log(JSON.stringify(loadResult(latenciesMs, { asked, denied, failed, seconds })));
client.close();

/** One after the other, from anywhere on; each a copy, since gRPC may still be sending the one before. */
function requestsOf(file: string): () => Buffer {
  const bytes = readFileSync(file);
  const requests: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    requests.push(bytes.subarray(at + 4, end));
    at = end;
  }
  let next = Math.floor(Math.random() * requests.length);
  return () => {
    next = (next + 1) % requests.length;
    return Buffer.from(requests[next] ?? bytes);
  };
}
