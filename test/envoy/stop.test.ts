import { connect } from 'node:net';
import { Client, credentials, status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import type { Outcome } from '../../src/check/outcome.ts';
import { createEnvoyServer, type GrpcService } from '../../src/envoy/server.ts';
import { nextOf } from './grpc-client.ts';
import { sampleAllowed, sampleRequest } from './sample.ts';
import { atEnd, describeOnEachTransport, serve } from './serve.ts';

/** A Check that is answered when the test says so; `begun` resolves with the first. */
function heldCheck() {
  let release: (outcome: Outcome) => void = () => undefined;
  let begin: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  return {
    begun,
    check: () => {
      begin();
      return new Promise<Outcome>((resolve) => {
        release = resolve;
      });
    },
    answer: () => release(sampleAllowed),
  };
}

describeOnEachTransport('stopping', () => {
  it('says NOT_SERVING first, and takes calls until the drain delay is over', async () => {
    const { server, client } = await serve();
    server.setServing(true);
    const watch = client.watchHealth('');
    expect(await nextOf(watch)).toEqual({ status: 'SERVING' });
    const delaying = new AbortController();
    const stopped = server.stop({ drainDelayMs: 60_000, graceMs: 1000, signal: delaying.signal });
    expect(await nextOf(watch)).toEqual({ status: 'NOT_SERVING' });
    server.setServing(true);
    expect(await client.health('')).toEqual({ status: 'NOT_SERVING' });
    expect(await client.check(sampleRequest())).toMatchObject({ http_response: 'ok_response' });
    delaying.abort();
    await stopped;
  });

  it('ends health watches, lets calls under way end, and takes no new ones', async () => {
    const held = heldCheck();
    const { server, client, connect: connectAgain } = await serve({ check: held.check });
    const watch = client.watchHealth('');
    await nextOf(watch);
    const call = client.check(sampleRequest());
    await held.begun;
    const stopped = server.stop({ drainDelayMs: 0, graceMs: 10_000 });
    expect(await nextOf(watch)).toEqual(undefined);
    await expect(connectAgain().check(sampleRequest(), 500)).rejects.toMatchObject({
      code: expect.toBeOneOf([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]),
    });
    held.answer();
    expect(await call).toMatchObject({ http_response: 'ok_response' });
    await stopped;
  });

  it('cuts off what takes longer than the grace time', async () => {
    const held = heldCheck();
    const { server, client } = await serve({ check: held.check });
    const call = client.check(sampleRequest());
    await held.begun;
    const startedAtMs = performance.now();
    await Promise.all([
      expect(call).rejects.toMatchObject({
        code: expect.toBeOneOf([status.UNAVAILABLE, status.CANCELLED, status.INTERNAL]),
      }),
      server.stop({ drainDelayMs: 0, graceMs: 50 }),
    ]);
    expect(performance.now() - startedAtMs).toBeLessThan(2000);
  });

  it('cuts everything off at once when its signal aborts', async () => {
    const held = heldCheck();
    const { server, client } = await serve({ check: held.check });
    const call = client.check(sampleRequest());
    await held.begun;
    const signal = AbortSignal.abort();
    await Promise.all([
      expect(call).rejects.toThrow(),
      server.stop({ drainDelayMs: 60_000, graceMs: 60_000, signal }),
    ]);
  });

  it('does not wait for a peer that connected, said nothing and does not listen', async () => {
    const { server, client, address } = await serve();
    const silent = connect(Number(address.split(':')[1]), '127.0.0.1');
    atEnd(() => silent.destroy());
    await new Promise((resolve) => silent.once('connect', resolve));
    await client.health('');
    await server.stop({ drainDelayMs: 0, graceMs: 60_000 });
  });

  it('happens once however often it is asked for', async () => {
    const { server } = await serve();
    const stopped = server.stop({ drainDelayMs: 0, graceMs: 1000 });
    expect(server.stop({ drainDelayMs: 60_000, graceMs: 1000 })).toBe(stopped);
    await stopped;
  });

  it('is possible before the start', async () => {
    const server = createEnvoyServer({
      address: '127.0.0.1:0',
      check: () => sampleAllowed,
      headers: [],
      credentialHeaders: [],
      realm: 'tiergate',
      recordOutcome: () => undefined,
      onError: () => undefined,
    });
    await server.stop({ drainDelayMs: 0, graceMs: 1000 });
  });
});

describeOnEachTransport('a further service', () => {
  const same = (message: Buffer) => message;
  const raw = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };

  it('is served on the same port, is known to health, and ends its streams when the server drains', async () => {
    const streams = new Set<{ end: () => void }>();
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const service: GrpcService = {
      definition: {
        StreamAccessLogs: {
          path: '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
          requestStream: true,
          responseStream: false,
          ...raw,
        },
      },
      implementation: {
        StreamAccessLogs: (call: NodeJS.EventEmitter, done: (error: null, response: Buffer) => void) => {
          streams.add({ end: () => done(null, Buffer.alloc(0)) });
          call.on('data', open);
        },
      },
      end: () => {
        for (const stream of streams) stream.end();
      },
    };
    const { server, client, address } = await serve({ services: [service] });
    server.setServing(true);
    expect(await client.health('envoy.service.accesslog.v3.AccessLogService')).toEqual({ status: 'SERVING' });

    const logs = new Client(address, credentials.createInsecure());
    atEnd(() => logs.close());
    const answered = new Promise((resolve) => {
      const stream = logs.makeClientStreamRequest(
        '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
        same,
        same,
        (error) => resolve(error),
      );
      stream.write(Buffer.from('an entry'));
    });
    await opened;
    const startedAtMs = performance.now();
    await server.stop({ drainDelayMs: 0, graceMs: 10_000 });
    expect(await answered).toBeNull();
    expect(performance.now() - startedAtMs).toBeLessThan(5000);
  });
});
