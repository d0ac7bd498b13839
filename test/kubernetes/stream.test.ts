import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import {
  cut,
  type FaultAnswer,
  type FaultServer,
  hang,
  json,
  startFaultServer,
} from '../support/fault-server.ts';

let server: FaultServer;
let client: KubernetesClient;

beforeEach(async () => {
  server = await startFaultServer(hang);
  client = createKubernetesClient({
    connection: createFixedConnection({ server: server.url }),
    timeoutMs: 300,
    maxConnections: 1,
  });
});
afterEach(async () => {
  client.close();
  await server.stop();
});

const never = new AbortController().signal;

async function open(signal: AbortSignal = never, idleTimeoutMs = 1_000): Promise<AsyncIterable<unknown>> {
  const stream = await client.stream({ path: '/watch', signal, idleTimeoutMs });
  if (!('values' in stream)) return expect.unreachable(`answered ${stream.status}`);
  return stream.values;
}

async function collect(values: AsyncIterable<unknown>): Promise<readonly unknown[]> {
  const all: unknown[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** Writes each text by itself, then does what is said last. */
function write(texts: readonly string[], last: 'end' | 'cut' | 'stay'): FaultAnswer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const [next, ...rest] = texts;
    const step = (text: string | undefined, left: readonly string[]): void => {
      if (text !== undefined) response.write(text, () => setImmediate(() => step(left[0], left.slice(1))));
      else if (last === 'end') response.end();
      else if (last === 'cut') response.destroy();
    };
    response.flushHeaders();
    step(next, rest);
  };
}

describe('a stream', () => {
  it('gives one value a line, however the bytes arrive', async () => {
    const text = '{"a":1}\n{"b":"é"}\n\n{"c":3}\n{"d":4}';
    server.answer((response) => {
      response.writeHead(200);
      // One byte after the other, through the middle of a character too.
      for (const byte of Buffer.from(text)) response.write(Buffer.of(byte));
      response.end();
    });
    expect(await collect(await open())).toEqual([{ a: 1 }, { b: 'é' }, { c: 3 }, { d: 4 }]);
  });

  it('that is cut off is unreachable, after what came before', async () => {
    server.answer(write(['{"a":1}\n', '{"b"'], 'cut'));
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const value of await open()) seen.push(value);
    })();
    await expect(reading).rejects.toMatchObject({ code: 'unreachable' });
    expect(seen).toEqual([{ a: 1 }]);
  });

  it('that falls silent is taken for dead', async () => {
    server.answer(write(['{"a":1}\n'], 'stay'));
    await expect(collect(await open(never, 50))).rejects.toMatchObject({ code: 'timeout' });
  });

  it('of anything but JSON is malformed', async () => {
    server.answer(write(['{"a":1}\n<html>\n'], 'stay'));
    await expect(collect(await open())).rejects.toMatchObject({ code: 'malformed' });
  });

  it('ends with its signal, without an error', async () => {
    server.answer(write(['{"a":1}\n'], 'stay'));
    const leaving = new AbortController();
    const seen: unknown[] = [];
    for await (const value of await open(leaving.signal)) {
      seen.push(value);
      leaving.abort();
    }
    expect(seen).toEqual([{ a: 1 }]);
  });

  it('ends its connection when nobody reads it any more', async () => {
    const ended = new Promise<void>((resolve) => {
      server.answer((response, request) => {
        response.on('close', resolve);
        write(['{"a":1}\n'], 'stay')(response, request);
      });
    });
    for await (const value of await open()) {
      expect(value).toEqual({ a: 1 });
      break;
    }
    await ended;
  });

  it('does not take the place of a request', async () => {
    server.answer(write([], 'stay'));
    await open();
    await open();
    server.answer(json(200, { ok: true }));
    await expect(client.request({ method: 'GET', path: '/' })).resolves.toMatchObject({ status: 200 });
  });

  it('that is answered with 410 gives that as a value, one that is not allowed is our misconfiguration', async () => {
    const request = { path: '/watch', signal: never, idleTimeoutMs: 100 };
    server.answer(json(410, { kind: 'Status', code: 410 }));
    expect(await client.stream(request)).toEqual({ status: 410, body: { kind: 'Status', code: 410 } });
    server.answer(json(403, { kind: 'Status', code: 403 }));
    await expect(client.stream(request)).rejects.toMatchObject({ code: 'misconfigured' });
    expect(await client.stream({ ...request, expected: [403] })).toMatchObject({ status: 403 });
  });

  it('that does not begin is a fault', async () => {
    server.answer(hang);
    await expect(open()).rejects.toMatchObject({ code: 'timeout' });
    server.answer(cut);
    await expect(open()).rejects.toMatchObject({ code: 'unreachable' });
    server.answer(json(500, {}));
    await expect(open()).rejects.toMatchObject({ code: 'failed' });
  });
});
