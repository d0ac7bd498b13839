import { link, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { denied } from '../../src/check/outcome.ts';
import type { CheckRequestInput } from '../../src/envoy/check-request.ts';
import { nextOf } from './grpc-client.ts';
import { sampleAllowed, sampleRequest } from './sample.ts';
import { atEnd, describeOnEachTransport, serve } from './serve.ts';

describeOnEachTransport('a Check', () => {
  it('goes in as plain data and comes back as the outcome', async () => {
    let seen: CheckRequestInput | undefined;
    const { client, recorded } = await serve({
      check: (input) => {
        seen = input as CheckRequestInput;
        return sampleAllowed;
      },
    });
    const response = await client.check(sampleRequest({ 'x-tiergate-user': 'mallory' }));
    expect(response).toMatchObject({ status: {}, http_response: 'ok_response' });
    expect(seen).toMatchObject({
      method: 'POST',
      path: '/llm/llama/v1/chat/completions',
      host: 'maas.example.com',
      forgedHeaders: ['x-tiergate-user'],
      source: '10.128.2.17',
    });
    expect(recorded).toEqual([{ outcome: sampleAllowed, input: seen, durationMs: expect.any(Number) }]);
  });

  it('tells Check when its caller stops listening, and Infinity where it does not say', async () => {
    const deadlines: number[] = [];
    const { client } = await serve({
      check: ({ deadlineAtMs }) => {
        deadlines.push(deadlineAtMs);
        return sampleAllowed;
      },
    });
    const before = Date.now();
    await client.check(sampleRequest(), 400);
    await client.check(sampleRequest(), Number.POSITIVE_INFINITY);
    expect(deadlines[0]).toBeGreaterThanOrEqual(before + 300);
    expect(deadlines[0]).toBeLessThanOrEqual(Date.now() + 400);
    expect(deadlines[1]).toBe(Number.POSITIVE_INFINITY);
  });

  it('waits for an outcome that takes time', async () => {
    const { client } = await serve({
      check: () => new Promise((resolve) => setImmediate(() => resolve(sampleAllowed))),
    });
    expect(await client.check(sampleRequest())).toMatchObject({ http_response: 'ok_response' });
  });

  it('that can not be read is a denied 400, and is recorded', async () => {
    const { client, recorded, faults } = await serve();
    const response = await client.checkBytes(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    expect(response.toString('latin1')).toContain('request_invalid');
    expect(recorded).toMatchObject([{ outcome: { reason: 'request_invalid' }, input: undefined }]);
    expect(faults).toEqual([]);
  });

  it('without attributes is a denied 400', async () => {
    const { client } = await serve();
    expect(await client.check({})).toMatchObject({
      status: { code: 3, message: 'request_invalid' },
      denied_response: { status: { code: 'BadRequest' } },
    });
  });

  it.each([
    [
      'at once',
      () => {
        throw new Error('a bug');
      },
    ],
    ['later', () => Promise.reject(new Error('a bug'))],
    ['by an outcome that can not be encoded', () => ({ ...sampleAllowed, subject: 7 as unknown as string })],
  ])('that fails by a bug %s is a denied 500, and its cause goes to the log', async (_when, check) => {
    const { client, recorded, faults } = await serve({ check });
    const response = await client.check(sampleRequest());
    expect(response).toMatchObject({
      status: { code: 13, message: 'internal' },
      denied_response: { status: { code: 'InternalServerError' } },
    });
    expect(response.denied_response?.body).not.toContain('a bug');
    expect(recorded).toMatchObject([{ outcome: { reason: 'internal', cause: expect.any(Error) } }]);
    expect(faults).toMatchObject([{ fault: 'check', error: expect.any(Error) }]);
  });

  it('is answered even where its record fails', async () => {
    const { client, faults } = await serve({
      recordOutcome: () => {
        throw new Error('disk full');
      },
    });
    expect(await client.check(sampleRequest())).toMatchObject({ http_response: 'ok_response' });
    expect(faults).toMatchObject([{ fault: 'check', error: { message: 'disk full' } }]);
  });

  it('of some megabytes is answered, with nine others of the same length under way', async () => {
    const { client } = await serve();
    const long = sampleRequest({ 'x-long': 'x'.repeat(4_000_000) });
    const answers = await Promise.all(Array.from({ length: 10 }, () => client.check(long, 20_000)));
    for (const answer of answers) expect(answer).toMatchObject({ http_response: 'ok_response' });
  });

  it('longer than allowed fails as an RPC', async () => {
    const { client } = await serve({ tuning: { maxMessageBytes: 4096 } });
    await expect(client.check(sampleRequest({ 'x-long': 'x'.repeat(5000) }))).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
  });
});

describeOnEachTransport('health', () => {
  it('says NOT_SERVING until it is told otherwise, for the server and its services', async () => {
    const { server, client } = await serve();
    for (const service of ['', 'envoy.service.auth.v3.Authorization']) {
      expect(await client.health(service)).toEqual({ status: 'NOT_SERVING' });
    }
    server.setServing(true);
    for (const service of ['', 'envoy.service.auth.v3.Authorization']) {
      expect(await client.health(service)).toEqual({ status: 'SERVING' });
    }
    server.setServing(false);
    expect(await client.health('')).toEqual({ status: 'NOT_SERVING' });
  });

  it('does not know a service that is not there', async () => {
    const { client } = await serve();
    await expect(client.health('no.such.Service')).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it('tells a watcher the status at once and at every change, each once', async () => {
    const { server, client } = await serve();
    const watch = client.watchHealth('envoy.service.auth.v3.Authorization');
    expect(await nextOf(watch)).toEqual({ status: 'NOT_SERVING' });
    server.setServing(true);
    expect(await nextOf(watch)).toEqual({ status: 'SERVING' });
    server.setServing(true);
    server.setServing(false);
    expect(await nextOf(watch)).toEqual({ status: 'NOT_SERVING' });
    watch.cancel();
  });

  it('tells a watcher of an unknown service so, and nothing more', async () => {
    const { server, client } = await serve();
    const watch = client.watchHealth('no.such.Service');
    expect(await nextOf(watch)).toEqual({ status: 'SERVICE_UNKNOWN' });
    server.setServing(true);
    const next = nextOf(watch);
    await client.health('');
    watch.cancel();
    expect(await next).toBeUndefined();
  });

  it('forgets a watcher that left', async () => {
    const { server, client } = await serve();
    const watch = client.watchHealth('');
    await nextOf(watch);
    watch.cancel();
    await client.health('');
    server.setServing(true);
    expect(await client.health('')).toEqual({ status: 'SERVING' });
  });
});

describeOnEachTransport('starting', () => {
  it('says which address can not be had', async () => {
    const taken = createTcpServer().listen(0, '127.0.0.1');
    atEnd(() => new Promise((resolve) => taken.close(resolve)));
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    await expect(serve({ address: `127.0.0.1:${port}` })).rejects.toThrow('EADDRINUSE');
  });

  it('warms up without recording anything, and asks Check without a credential', async () => {
    const asked: CheckRequestInput[] = [];
    const { recorded, faults } = await serve({
      check: (input) => {
        asked.push(input as CheckRequestInput);
        return denied('credential_missing', 'No access token was sent.');
      },
      tuning: { warmUpCalls: 20 },
    });
    expect(asked).toHaveLength(20);
    expect(asked.every(({ headers, id }) => headers.size === 0 && id === '')).toBe(true);
    expect(recorded).toEqual([]);
    expect(faults).toEqual([]);
  });

  it('serves on a Unix socket that its group may use', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tiergate-'));
    atEnd(() => rm(folder, { recursive: true }));
    const path = join(folder, 'grpc.sock');
    const { client, address } = await serve({ address: `unix:${path}` });
    expect(address).toBe(`unix:${path}`);
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    expect(await client.check(sampleRequest())).toMatchObject({ http_response: 'ok_response' });
  });

  it('takes the place of a socket that a killed process left behind', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tiergate-'));
    atEnd(() => rm(folder, { recursive: true }));
    const path = join(folder, 'grpc.sock');
    await leaveSocketBehind(path);
    const { client } = await serve({ address: `unix:${path}` });
    expect(await client.check(sampleRequest())).toMatchObject({ http_response: 'ok_response' });
  });

  it('leaves a socket that somebody listens on, and a file that is none', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tiergate-'));
    atEnd(() => rm(folder, { recursive: true }));
    const { address, client } = await serve({ address: `unix:${join(folder, 'grpc.sock')}` });
    await expect(serve({ address })).rejects.toThrow('EADDRINUSE');
    expect(await client.check(sampleRequest())).toMatchObject({ http_response: 'ok_response' });
    await writeFile(join(folder, 'precious'), 'text');
    await expect(serve({ address: `unix:${join(folder, 'precious')}` })).rejects.toThrow('ENOTSOCK');
  });
});

/** Node removes its socket when it closes, so that only a process that died leaves one. */
async function leaveSocketBehind(path: string): Promise<void> {
  const listener = createTcpServer().listen(path);
  await new Promise((resolve) => listener.once('listening', resolve));
  await link(path, `${path}.kept`);
  await new Promise((resolve) => listener.close(resolve));
  await rename(`${path}.kept`, path);
}
