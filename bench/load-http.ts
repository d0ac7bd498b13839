import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beginWord, loadResult } from './load-result.ts';

/**
 * HTTP/1.1 requests at a fixed rate, whatever becomes of those before: an open loop. Latencies run from the time at which a
 * request was due, so that a stall is counted by everyone it delays (no coordinated omission). wrk has no such mode, and
 * tools that have one want a compiler or repeat one and the same request.
 *
 *     node load-http.js LOAD-AS-JSON
 */
export interface HttpLoad {
  readonly port: number;
  /** Whole requests as wrk.lua reads them. */
  readonly file: string;
  readonly ratePerSecond: number;
  /** A request that finds none free waits, and its clock runs. */
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

interface Connection {
  readonly socket: Socket;
  received: string;
  /** Of the answer that is awaited. */
  done: ((status: number) => void) | undefined;
}

const load = JSON.parse(process.argv[2] ?? '{}') as HttpLoad;
const requests = readFileSync(load.file, 'latin1')
  .split('\n--\n')
  .filter((block) => block !== '')
  .map((block) => block.replaceAll('\n', '\r\n'));
const free: Connection[] = [];
const waiting: (() => void)[] = [];
let opened = 0;
let next = 0;
let latenciesMs: number[] = [];
let asked = 0;
let denied = 0;
let failed = 0;
const answers = { awaited: 0 };

/** Reads one answer after the other; all that is met here has a length. */
function open(): Connection {
  opened += 1;
  const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true });
  const connection: Connection = { socket, received: '', done: undefined };
  const lost = () => {
    const { done } = connection;
    connection.done = undefined;
    opened -= 1;
    done?.(0);
  };
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    connection.received += text;
    const headEnd = connection.received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const [, length = '0'] = /\r\ncontent-length: (\d+)/i.exec(connection.received.slice(0, headEnd)) ?? [];
    if (connection.received.length < headEnd + 4 + Number(length)) return;
    const status = Number(connection.received.slice(9, 12));
    connection.received = '';
    const { done } = connection;
    connection.done = undefined;
    free.push(connection);
    done?.(status);
  });
  socket.once('error', () => undefined);
  socket.once('close', lost);
  return connection;
}

function ask(dueAtMs: number): void {
  const connection = free.pop() ?? (opened < load.connections ? open() : undefined);
  if (connection === undefined) {
    waiting.push(() => ask(dueAtMs));
    return;
  }
  connection.done = (status) => {
    answers.awaited -= 1;
    if (status === 0) failed += 1;
    else {
      latenciesMs.push(performance.now() - dueAtMs);
      if (status >= 400) denied += 1;
    }
    waiting.shift()?.();
  };
  asked += 1;
  next = (next + 1) % requests.length;
  connection.socket.write(requests[next] ?? '', 'latin1');
}

async function run(seconds: number): Promise<number> {
  const startedAtMs = performance.now();
  const everyMs = 1000 / load.ratePerSecond;
  const due = Math.round(seconds * load.ratePerSecond);
  answers.awaited = due;
  for (let request = 0; request < due; ) {
    const nowMs = performance.now();
    for (; request < due && startedAtMs + request * everyMs <= nowMs; request += 1) {
      ask(startedAtMs + request * everyMs);
    }
    await sleep(1);
  }
  while (answers.awaited > 0) await sleep(1);
  return (performance.now() - startedAtMs) / 1000;
}

await run(load.warmUpSeconds);
latenciesMs = [];
denied = 0;
failed = 0;
console.log(beginWord);
const seconds = await run(load.seconds);
console.log(JSON.stringify(loadResult(latenciesMs, { asked, denied, failed, seconds })));
for (const { socket } of free) socket.destroy();
