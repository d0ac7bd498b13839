import { createServer, type IncomingMessage } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import { createRandom } from '../../support/random.ts';
import { createSocketPair } from '../../support/socket-pair.ts';
import { converse, cut, mutate } from './conversation.ts';
import { openConnection, settled } from './open-connection.ts';

/** A request, as a server understood it. */
interface Understood {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface Tally {
  /** Requests that both understood. */
  readonly same: number;
  /** Those that Node understood and we did not. */
  readonly refused: number;
}

/**
 * The same bytes to us and to Node's own server, in the same pieces: what we take for a request, it takes for the same request, and
 * nothing between them. We may stop where it goes on. Throws with the seed of the conversation where that does not hold.
 */
export async function compareWithNode(seed: number, conversations: number): Promise<Tally> {
  const node = createNodeServer();
  let same = 0;
  let refused = 0;
  // Side by side: they wait for turns of the loop most of the time.
  for (let at = 0; at < conversations; at += 100) {
    const seeds = Array.from({ length: Math.min(100, conversations - at) }, (_, more) => seed + at + more);
    const tallies = await Promise.all(seeds.map((one) => compareOne(one, node)));
    for (const tally of tallies) {
      same += tally.same;
      refused += tally.refused;
    }
  }
  return { same, refused };
}

async function compareOne(seed: number, node: ReturnType<typeof createNodeServer>): Promise<Tally> {
  const random = createRandom(seed);
  const said = converse(random);
  const text = random() < 0.1 ? said : mutate(random, said);
  const pieces = cut(random, text).map((piece) => Buffer.from(piece, 'latin1'));
  const opened = openConnection();
  const theirs = node.open();
  for (const piece of pieces) {
    opened.client.write(piece);
    theirs.client.write(piece);
    await nextTurn();
  }
  opened.client.end();
  theirs.client.end();
  await settled();
  await settled();
  // Of a body that is too long nobody waits for the end.
  const ours = opened.asked
    .map(({ exchange }) => exchange)
    .filter(({ isBodyTooLong }) => !isBodyTooLong)
    .map(({ head: { method, target, rawHeaders }, body }) => ({
      method,
      target,
      rawHeaders,
      body: body?.toString('latin1') ?? '',
    }));
  const where = `seed ${seed}: ${JSON.stringify(text)}`;
  const whole = theirs.understood();
  expect(whole.slice(0, ours.length), where).toEqual(ours);
  if (text === said) expect(ours, where).toHaveLength(whole.length);
  expect(opened.bugs, where).toEqual([]);
  expect(opened.hasEnded(), where).toBe(true);
  opened.client.destroy();
  theirs.client.destroy();
  return { same: ours.length, refused: whole.length - ours.length };
}

/** Node's own, as strict as it is by default. */
function createNodeServer() {
  const listOf = new WeakMap<object, (Understood | undefined)[]>();
  const server = createServer({ maxHeaderSize: 65_536, keepAliveTimeout: 0 }, (request, response) => {
    const list = listOf.get(request.socket) ?? [];
    const at = list.push(undefined) - 1;
    let body = '';
    request.setEncoding('latin1').on('data', (part: string) => (body += part));
    request.on('end', () => {
      list[at] = understood(request, body);
      response.writeHead(200, ['content-length', '0']).end();
    });
  });
  // By default it ends the connection at once, and is never told of the end of a request before.
  server.on('clientError', () => undefined);
  return {
    open() {
      const [end, client] = createSocketPair();
      const list: (Understood | undefined)[] = [];
      client.resume().on('error', () => undefined);
      end.on('error', () => undefined);
      listOf.set(end, list);
      server.emit('connection', end);
      return { client, understood: () => list.filter((one) => one !== undefined) };
    },
  };
}

function understood(
  { method = '', url: target = '', rawHeaders }: IncomingMessage,
  body: string,
): Understood {
  return { method, target, rawHeaders, body };
}
