import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { createRedisConnection } from '../../src/redis/connection.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

type Answer = (command: readonly string[], socket: Socket) => string | Promise<string>;

interface Fake {
  readonly port: number;
  /** Ends its connections and listens no more. */
  readonly kill: () => Promise<void>;
}

/** Answers each command, in lower case, by a RESP reply. */
async function startFake(answer: Answer): Promise<Fake> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    const reply = async (bytes: Buffer): Promise<void> => {
      for (const command of commandsOf(bytes.toString())) {
        const text = await answer(command, socket);
        if (!socket.destroyed) socket.write(text);
      }
    };
    socket.on('data', (bytes) => void reply(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const kill = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await once(server.close(), 'close');
  };
  ended.push(kill);
  return { port: (server.address() as AddressInfo).port, kill };
}

/** `*2 $3 GET $1 a` a line each; whole commands arrive at once on loopback. */
function* commandsOf(text: string): Generator<readonly string[]> {
  const lines = text.split('\r\n');
  for (let at = 0; lines[at]?.startsWith('*'); ) {
    const words = Number(lines[at]?.slice(1));
    yield Array.from({ length: words }, (_, word) => lines[at + 2 + 2 * word]?.toLowerCase() ?? '');
    at += 1 + 2 * words;
  }
}

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const array = (...items: readonly string[]): string => `*${items.length}\r\n${items.join('')}`;
/** RESP3, which the client asks for by HELLO: what answers no command. */
const push = (...items: readonly string[]): string => array(...items).replace('*', '>');

/** What a client asks of a server before it is ready. */
function answerAsPrimary([name]: readonly string[]): string {
  if (name === 'info') return bulk('loading:0\r\n');
  if (name === 'role') return array(bulk('master'), ':0\r\n', '*0\r\n');
  return name === 'time' ? array(bulk('1700000000'), bulk('0')) : '+OK\r\n';
}

it('follows a failover that is announced while it asks the sentinel where to go', async () => {
  const primary = await startFake(answerAsPrimary);
  const replica = await startFake(answerAsPrimary);
  const listeners: Socket[] = [];
  let questions = 0;
  const sentinel = await startFake(async ([name, verb = ''], socket) => {
    if (name === 'subscribe') {
      listeners.push(socket);
      return push(bulk('subscribe'), bulk(verb), ':1\r\n');
    }
    if (verb !== 'get-master-addr-by-name') return name === 'sentinel' ? '*0\r\n' : '+OK\r\n';
    questions += 1;
    if (questions === 2) {
      const message = push(bulk('message'), bulk('+switch-master'), bulk('counters'));
      for (const listener of listeners) listener.write(message);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return array(bulk('127.0.0.1'), bulk(String((questions > 1 ? replica : primary).port)));
  });
  const sentinels = [{ host: '127.0.0.1', port: sentinel.port }];
  const target = { kind: 'sentinel', name: 'counters', sentinels } as const;
  const connection = createRedisConnection({ target, now: Date.now });
  ended.push(connection.close);
  expect(await connection.waitUntilReady(3000)).toBe(true);
  await expect.poll(() => listeners.length).toBe(1);

  await primary.kill();
  await expect.poll(() => questions).toBeGreaterThan(1);
  await expect.poll(() => connection.state().phase, { timeout: 3000 }).toBe('ready');
});
