import { type ClientWritableStream, type ServiceError, status } from '@grpc/grpc-js';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { AccessLogEntry } from '../../src/check/access-log-entry.ts';
import {
  type AccessLogEvent,
  type AccessLogServiceOptions,
  createAccessLogService,
} from '../../src/envoy/access-log-service.ts';
import { createIsBelieved } from '../../src/envoy/believed-peers.ts';
import { describeOnEachTransport, serve } from './serve.ts';
import { createServiceClient } from './service-client.ts';

const streamMethod = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';

async function setUp(
  options: Partial<AccessLogServiceOptions> & { readonly trust?: readonly string[] } = {},
) {
  const received: AccessLogEntry[] = [];
  const events: AccessLogEvent[] = [];
  const errors: unknown[] = [];
  const service = createAccessLogService({
    receive: (ended) => void received.push(ended),
    isBelieved: createIsBelieved({
      address: '127.0.0.1:0',
      isMutualTls: false,
      trust: options.trust ?? ['127.0.0.0/8'],
    }),
    observe: (event) => events.push(event),
    onError: (error) => errors.push(error),
    ...options,
  });
  const { address, server } = await serve({ services: [service] });
  const stub = createServiceClient(service.definition, address);
  const definition = service.definition['StreamAccessLogs'];
  const count = (event: AccessLogEvent) => events.filter((other) => other === event).length;

  /** A stream, and what it was answered: undefined for OK. */
  function open<Message = object>(serialize: (message: Message) => Buffer) {
    let stream: ClientWritableStream<Message> | undefined;
    const ended = new Promise<ServiceError | undefined>((resolve) => {
      stream = stub.makeClientStreamRequest<Message, object>(
        streamMethod,
        serialize,
        () => ({}),
        (error) => resolve(error ?? undefined),
      );
      stream.on('error', () => undefined);
    });
    if (stream === undefined) throw new Error('no stream');
    return { stream, ended };
  }

  return {
    service,
    server,
    received,
    errors,
    count,
    openLog: () => open((message) => definition?.requestSerialize(message) as Buffer),
    openRaw: () => open<Buffer>((bytes) => bytes),
  };
}

interface Described {
  readonly slot?: string;
  readonly type?: string;
  readonly intermediate?: boolean;
}

function entry({ slot, type = 'DownstreamEnd', intermediate = false }: Described = {}) {
  return {
    common_properties: {
      stream_id: '0f6f5d0e',
      duration: { seconds: 1, nanos: 500_000_000 },
      access_log_type: type,
      intermediate_log_entry: intermediate,
      metadata: {
        filter_metadata: {
          'envoy.filters.http.ext_authz': {
            fields: {
              ...(slot !== undefined && { slot_id: { stringValue: slot } }),
              ext_authz_duration: { numberValue: 3 },
              limits: { listValue: { values: [{ numberValue: 1 }] } },
            },
          },
          tiergate: { fields: { total_tokens: { numberValue: 42 }, stream: { boolValue: true } } },
          'com.example': { fields: { slot_id: { stringValue: 'forged' } } },
        },
      },
    },
    request: { request_body_bytes: 120 },
    response: {
      response_code: { value: 200 },
      response_body_bytes: 3456,
      response_code_details: 'via_upstream',
    },
  };
}

const logs = (...entries: readonly object[]) => ({ http_logs: { log_entry: entries } });
const settled = () => new Promise((resolve) => setTimeout(resolve, 30));

describeOnEachTransport('the access log sink', () => {
  it('hands on the end of each request as plain data', async () => {
    const { openLog, received, service } = await setUp();
    const { stream } = openLog();
    stream.write(logs(entry({ slot: 'a.b' }), entry()));
    await expect.poll(() => received).toHaveLength(2);
    expect(received[0]).toEqual({
      streamId: '0f6f5d0e',
      granted: new Map<string, unknown>([
        ['slot_id', 'a.b'],
        ['ext_authz_duration', 3],
      ]),
      usage: new Map<string, unknown>([
        ['total_tokens', 42],
        ['stream', true],
      ]),
      responseCode: 200,
      details: 'via_upstream',
      requestBytes: 120,
      responseBytes: 3456,
      durationMs: 1500,
    });
    expect(service.streams()).toBe(1);
  });

  it('ignores what tells of a request that goes on, or of an attempt upstream, or of TCP', async () => {
    const { openLog, received, count } = await setUp();
    const { stream } = openLog();
    stream.write(logs(entry({ intermediate: true }), entry({ type: 'DownstreamStart' })));
    stream.write(logs(entry({ type: 'DownstreamPeriodic' }), entry({ type: 'UpstreamEnd' }), {}));
    stream.write({});
    stream.write(logs(entry({ type: 'NotSet' })));
    await expect.poll(() => received).toHaveLength(1);
    expect(count('passing')).toBe(5);
  });

  it('answers a stream that its peer ends, and forgets one that was cut off', async () => {
    const { openLog, service, received } = await setUp();
    const [first, second] = [openLog(), openLog()];
    for (const { stream } of [first, second]) stream.write(logs(entry()));
    await expect.poll(() => service.streams()).toBe(2);
    await expect.poll(() => received).toHaveLength(2);
    first.stream.end();
    expect(await first.ended).toBeUndefined();
    second.stream.cancel();
    await expect.poll(() => service.streams()).toBe(0);
  });

  it('takes nothing from a peer that is not believed', async () => {
    const { openLog, received, count, service } = await setUp({ trust: ['10.0.0.0/8'] });
    const { stream, ended } = openLog();
    stream.write(logs(entry({ slot: 'a.b' })));
    expect(await ended).toMatchObject({ code: status.PERMISSION_DENIED });
    await settled();
    expect(received).toEqual([]);
    expect(count('foreign')).toBe(1);
    expect(service.streams()).toBe(0);
  });

  it('drops what does not fit, counts it, and reads on once there is room', async () => {
    const releases: (() => void)[] = [];
    const { openLog, count, service } = await setUp({
      maxQueued: 10,
      concurrency: 2,
      receive: () => new Promise<void>((resolve) => void releases.push(resolve)),
    });
    const { stream } = openLog();
    stream.write(logs(...Array.from({ length: 30 }, () => entry())));
    await expect.poll(() => count('dropped')).toBeGreaterThan(0);
    const [taken, dropped] = [count('entry'), count('dropped')];
    expect(taken).toBe(30);
    expect(service.queued()).toBeLessThanOrEqual(10);
    // Not read before there is room again: pressure on Envoy, whose own buffer holds them.
    for (let message = 0; message < 5; message += 1) stream.write(logs(entry()));
    await settled();
    expect(count('entry')).toBeLessThan(35);
    while (count('entry') < 35 || service.queued() > 0) {
      for (const release of releases.splice(0)) release();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(count('dropped')).toBe(dropped);
  });

  it('goes on after an entry that could not be dealt with, at once or later', async () => {
    let asked = 0;
    const { openLog, count, errors } = await setUp({
      receive() {
        asked += 1;
        if (asked === 1) throw new Error('at once');
        return asked === 2 ? Promise.reject(new Error('later')) : undefined;
      },
    });
    openLog().stream.write(logs(entry(), entry(), entry()));
    await expect.poll(() => asked).toBe(3);
    await expect.poll(() => errors).toEqual([new Error('at once'), new Error('later')]);
    expect(count('failed')).toBe(2);
  });

  it('when it is told to end, answers its streams and lets what was read be received', async () => {
    const releases: (() => void)[] = [];
    const { openLog, service, server } = await setUp({
      receive: () => new Promise<void>((resolve) => void releases.push(resolve)),
    });
    const streams = [openLog(), openLog()];
    for (const { stream } of streams) stream.write(logs(entry()));
    await expect.poll(() => releases.length).toBe(2);
    const startedAtMs = performance.now();
    await server.stop({ drainDelayMs: 0, graceMs: 10_000 });
    expect(performance.now() - startedAtMs).toBeLessThan(5000);
    expect(await Promise.all(streams.map(({ ended }) => ended))).toEqual([undefined, undefined]);
    let isIdle = false;
    const idle = service.whenIdle().then(() => (isIdle = true));
    await settled();
    expect(isIdle).toBe(false);
    for (const release of releases) release();
    await idle;
  });

  it('turns a new stream away while it ends', async () => {
    const { openLog, service } = await setUp();
    service.end();
    const { stream, ended } = openLog();
    stream.write(logs(entry()));
    expect(await ended).toMatchObject({ code: status.UNAVAILABLE });
  });

  it('ends a stream that nobody can read, and goes on with the others', async () => {
    const { openRaw, openLog, received } = await setUp();
    const broken = openRaw();
    broken.stream.write(Buffer.from('ffffffffff', 'hex'));
    expect(await broken.ended).toMatchObject({ code: status.INTERNAL });
    // A Struct in a Struct in a Struct: deeper than any stack.
    const deep = openRaw();
    deep.stream.write(nested(3000));
    const ended = await deep.ended;
    expect(ended).toMatchObject({ code: expect.any(Number) });
    openLog().stream.write(logs(entry()));
    await expect.poll(() => received).toHaveLength(1);
  });

  it('survives whatever bytes come', async () => {
    const { openRaw, openLog, received, errors } = await setUp();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const { stream, ended } = openRaw();
        stream.write(Buffer.from(bytes));
        stream.end();
        await ended;
      }),
      { numRuns: 100 },
    );
    received.length = 0;
    openLog().stream.write(logs(entry()));
    await expect.poll(() => received).toHaveLength(1);
    expect(errors).toEqual([]);
  });
});

/** An entry whose metadata holds a struct value in a struct value, and so on. */
function nested(depth: number): Buffer {
  let value = Buffer.from([0x08, 0x00]);
  const around = (tag: number, inner: Buffer) =>
    Buffer.concat([Buffer.from([tag]), varint(inner.length), inner]);
  for (let level = 0; level < depth; level += 1) {
    const field = around(0x0a, Buffer.concat([around(0x0a, Buffer.from('k')), around(0x12, value)]));
    value = around(0x2a, field);
  }
  const struct = around(0x0a, Buffer.concat([around(0x0a, Buffer.from('k')), around(0x12, value)]));
  const namespace = around(
    0x0a,
    Buffer.concat([around(0x0a, Buffer.from('tiergate')), around(0x12, struct)]),
  );
  const common = around(
    0x0a,
    Buffer.concat([Buffer.from([0x8a, 0x01]), varint(namespace.length), namespace]),
  );
  return around(0x12, around(0x0a, common));
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}
