import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createRedisConnection, type RedisConnectionOptions } from '../../src/redis/connection.ts';
import { createSecret } from '../../src/secret.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

/** A TCP server that speaks no Redis. */
async function listen(onSocket: (socket: Socket) => void): Promise<Server> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ended.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server;
}

const urlOf = (server: Server) => `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;

function connect(url: string, more: Partial<RedisConnectionOptions> = {}) {
  const connection = createRedisConnection({ target: { kind: 'single', url }, now: Date.now, ...more });
  ended.push(connection.close);
  return connection;
}

/** Waits until the connection names a fault. */
async function faultOf(connection: ReturnType<typeof connect>): Promise<string | undefined> {
  const endsAt = performance.now() + 3000;
  while (connection.state().fault === undefined && performance.now() < endsAt)
    await new Promise(setImmediate);
  return connection.state().fault?.code;
}

describe('a connection to Redis', () => {
  it.each([
    ['no URL', 'localhost:6379'],
    ['another scheme', 'http://localhost:6379'],
    ['a password in it', 'redis://me:hunter2@localhost'],
    ['options in it', 'redis://localhost?family=6'],
    ['a path that is no database', 'redis://localhost/db/1'],
  ])('is refused at once for %s, without quoting it', (_name, url) => {
    const failure = expect(() => connect(url));
    failure.toThrow(TypeError);
    failure.not.toThrow(/hunter2/);
  });

  it('sends nothing before it is ready, and says that', async () => {
    const run = connect(urlOf(await listen(() => undefined))).script('return 1');
    expect(() => run(['tg:{a}:w:x'], [])).toThrow(
      expect.objectContaining({ dependency: 'redis', code: 'unreachable' }),
    );
  });

  it('names a server that is not there unreachable, and goes on trying', async () => {
    const server = await listen(() => undefined);
    const url = urlOf(server);
    server.close();
    await once(server, 'close');
    const connection = connect(url);
    expect(await faultOf(connection)).toBe('unreachable');
    expect(connection.state().phase).toBe('connecting');
    expect(await connection.waitUntilReady(50)).toBe(false);
  });

  it('names a server that accepts and never answers a time-out, and tries anew', async () => {
    let accepted = 0;
    const server = await listen(() => (accepted += 1));
    const connection = connect(urlOf(server), { stallTimeoutMs: 100 });
    expect(await faultOf(connection)).toBe('timeout');
    await connection.waitUntilReady(400);
    expect(accepted).toBeGreaterThan(1);
  });

  it('survives a server that talks nonsense', async () => {
    const server = await listen((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const connection = connect(urlOf(server));
    expect(await connection.waitUntilReady(300)).toBe(false);
    expect(connection.state().phase).toBe('connecting');
  });

  it('tells each change of its state once', async () => {
    const states: string[] = [];
    const server = await listen((socket) => socket.destroy());
    const connection = connect(urlOf(server), {
      onStateChange: ({ phase, fault }) => states.push(`${phase} ${fault?.code}`),
    });
    await connection.waitUntilReady(300);
    await connection.close();
    expect(states.filter((state, index) => state === states[index - 1])).toEqual([]);
    expect(states.at(-1)).toBe('closed undefined');
  });

  it('can be closed while it connects, and twice', async () => {
    const connection = connect(urlOf(await listen(() => undefined)), {
      password: createSecret('hunter2'),
    });
    const startedAt = performance.now();
    await connection.close();
    await connection.close();
    expect(performance.now() - startedAt).toBeLessThan(1500);
    expect(connection.state()).toEqual({ phase: 'closed', fault: undefined });
    expect(await connection.waitUntilReady(1000)).toBe(false);
  });
});
