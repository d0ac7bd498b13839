import { connect } from 'node:net';
import type { CheckInput } from '../../src/check/check-input.ts';
import { denied, type Outcome } from '../../src/check/outcome.ts';

/** What each verdict says: whom and what it judged. */
export const echoingCheck = (input: CheckInput): Outcome | Promise<Outcome> => {
  const words = `${input.path} ${input.headers.get('authorization') ?? '-'} ${input.forgedHeaders.length}`;
  const outcome = denied('model_forbidden', words);
  // A third waits, so that answers of both kinds are queued on one connection.
  return words.length % 3 === 0 ? Promise.resolve(outcome) : outcome;
};

export interface FuzzTally {
  readonly sent: number;
  readonly judged: number;
  readonly refused: number;
}

interface Sent {
  readonly id: number;
  readonly bytes: string;
  readonly isMutated: boolean;
}

/** Requests on one connection. */
const perConnection = 25;

/**
 * Sends so many requests, a third of them broken in some way, in pipelines over connections one after the other. Throws
 * where a verdict is not that of the request which it names, where verdicts come out of order, or where what was hidden in
 * a whole body is judged.
 */
export async function fuzzDoor(port: number, count: number, seed: number): Promise<FuzzTally> {
  const random = createRandom(seed);
  let judged = 0;
  let refused = 0;
  for (let from = 0; from < count; from += perConnection) {
    const batch = Array.from({ length: Math.min(perConnection, count - from) }, (_, at) =>
      generate(random, from + at),
    );
    const heard = await exchange(port, batch.map(({ bytes }) => bytes).join(''), random);
    const verdicts = verdictsIn(heard);
    judge(batch, verdicts, `seed ${seed}, requests ${from} and on`);
    judged += verdicts.length;
    refused += (heard.match(/"request_invalid"/g) ?? []).length;
  }
  return { sent: count, judged, refused };
}

interface Verdict {
  readonly path: string;
  readonly authorization: string;
}

function verdictsIn(heard: string): readonly Verdict[] {
  return [...heard.matchAll(/"message":"(\S+) (.*?) \d+"/g)].map(([, path = '', authorization = '']) => ({
    path,
    authorization,
  }));
}

function judge(batch: readonly Sent[], verdicts: readonly Verdict[], where: string): void {
  const firstBroken = batch.find(({ isMutated }) => isMutated)?.id ?? Number.POSITIVE_INFINITY;
  const whole = new Map(batch.filter(({ isMutated }) => !isMutated).map(({ id }) => [id, true]));
  let last = -1;
  let answeredWhole = 0;
  for (const { path, authorization } of verdicts) {
    const [, name, id] = /^\/n\/(m(\d+)-\w+)$/.exec(path) ?? [];
    if (name === undefined || !whole.has(Number(id)) || name !== nameOf(Number(id))) continue;
    if (authorization !== `Bearer ${name}`)
      throw new Error(`${where}: ${path} was judged for ${authorization}`);
    if (Number(id) <= last) throw new Error(`${where}: ${path} after ${last}`);
    last = Number(id);
    if (last < firstBroken) answeredWhole += 1;
  }
  const expected = batch.filter(({ id }) => id < firstBroken).length;
  if (answeredWhole !== expected)
    throw new Error(`${where}: ${answeredWhole} of ${expected} whole requests were judged`);
  const before = verdicts.slice(0, expected);
  if (before.some(({ path }) => path.startsWith('/hidden')))
    throw new Error(`${where}: what stood in a body was judged`);
}

/** So long that no mutant of one is another. */
const nameOf = (id: number): string => `m${id}-${(Math.imul(id + 1, 0x9e3779b1) >>> 0).toString(36)}`;

function generate(random: Random, id: number): Sent {
  const lines = [`Host: a${random.below(9)}`, `Authorization: Bearer ${nameOf(id)}`];
  for (let extra = random.below(6); extra > 0; extra -= 1) lines.push(random.pick(headers));
  let body = '';
  const kind = random.below(4);
  if (kind === 1) {
    body = `GET /hidden/${id} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(random.below(3));
    lines.push(`Content-Length: ${body.length}`);
  } else if (kind === 2) {
    lines.push('Transfer-Encoding: chunked');
    const text = `GET /hidden/${id} HTTP/1.1\r\n\r\n`;
    body = `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
  }
  const method = random.pick(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']);
  const bytes = `${method} /n/${nameOf(id)} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
  return random.below(3) === 0
    ? { id, bytes: mutate(random, bytes), isMutated: true }
    : { id, bytes, isMutated: false };
}

const headers = [
  'Accept: */*',
  'X-Tiergate-User: root',
  'x_maas_group: admins',
  'x-envoy-expected-rq-timeout-ms: 1000',
  'tiergate-source: 10.0.0.1',
  'tiergate-size: 17',
  'X-Forwarded-Uri: /hidden/by/header',
  'X-Original-URI: /hidden/by/header',
  'Cookie: a=b; c=d',
  `X-Long: ${'x'.repeat(900)}`,
];

const splices = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  '\r\n\r\n',
  'Content-Length: 7\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Expect: 100-continue\r\n',
  'Upgrade: h2c\r\nConnection: Upgrade\r\n',
  'Connection: close\r\n',
  'GET /hidden/splice HTTP/1.1\r\nHost: a\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
  '\x80\xff',
  '0',
  'A'.repeat(70_000),
];

function mutate(random: Random, bytes: string): string {
  let mutant = bytes;
  for (let times = 1 + random.below(3); times > 0; times -= 1) {
    const at = random.below(mutant.length + 1);
    const kind = random.below(4);
    if (kind === 0) mutant = mutant.slice(0, at) + random.pick(splices) + mutant.slice(at);
    else if (kind === 1) mutant = mutant.slice(0, at) + mutant.slice(at + 1 + random.below(8));
    else if (kind === 2)
      mutant = mutant.slice(0, at) + String.fromCharCode(random.below(256)) + mutant.slice(at + 1);
    else mutant = mutant.slice(0, at) + mutant.slice(random.below(at + 1), at) + mutant.slice(at);
  }
  return mutant;
}

/** Resolves to all that came back until nothing more comes: the answers to all, or a refusal and the end. */
function exchange(port: number, bytes: string, random: Random): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = connect(port, '127.0.0.1');
    const timer = setTimeout(() => socket.destroy(), 10_000);
    socket.setEncoding('latin1').on('data', (chunk: string) => (heard += chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(heard);
    });
    const cut = random.below(bytes.length);
    socket.write(bytes.slice(0, cut), 'latin1');
    // Our FIN: the door answers what it has, and ends too.
    socket.end(bytes.slice(cut), 'latin1');
  });
}

interface Random {
  readonly below: (limit: number) => number;
  readonly pick: (from: readonly string[]) => string;
}

/** Mulberry32: small, and the same everywhere. */
function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * limit);
  };
  return { below, pick: (from) => from[below(from.length)] ?? '' };
}
