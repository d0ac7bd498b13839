import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { AccessLogEntry } from '../../src/check/access-log-entry.ts';
import { createAccessLogService } from '../../src/envoy/access-log-service.ts';
import { createCheckClient } from '../../src/envoy/check-client.ts';
import type { CheckRequestInput } from '../../src/envoy/check-request.ts';
import { createGateway } from '../../src/sandbox/gateway.ts';
import { createModelServer } from '../../src/sandbox/model-server.ts';
import { sampleAllowed } from '../envoy/sample.ts';
import { atEnd, serve } from '../envoy/serve.ts';

/** The built-in gateway before a model that holds every answer until the test lets it go. */
async function setUp(slotIds: readonly string[]) {
  const ended: unknown[] = [];
  const accessLog = createAccessLogService({
    receive: ({ granted }) => void ended.push(granted.get('slot_id')),
    isBelieved: () => true,
    observe: () => undefined,
    onError: (error) => ended.push(error),
  });
  const left = [...slotIds];
  const { address } = await serve({
    services: [accessLog],
    check() {
      const slotId = left.shift();
      return slotId === undefined ? sampleAllowed : { ...sampleAllowed, slotId };
    },
  });
  const held: (() => void)[] = [];
  const model = createServer((_incoming, response) => {
    response.write('begun');
    held.push(() => response.end());
  });
  await new Promise<void>((resolve) => void model.listen(0, '127.0.0.1', resolve));
  atEnd(() => {
    model.close();
    model.closeAllConnections();
  });
  const modelPort = (model.address() as AddressInfo).port;
  const client = createCheckClient(address);
  atEnd(client.close);
  const gateway = createGateway({ ...client, checkTimeoutMs: 5000, modelPort, issuerPort: 1 });
  const port = await gateway.listen(0);
  atEnd(gateway.close);

  function post() {
    const outgoing = request({
      host: '127.0.0.1',
      port,
      method: 'POST',
      path: '/llm/llama/v1/x',
      agent: false,
    });
    outgoing.on('error', () => undefined);
    outgoing.on('response', (incoming) => incoming.resume());
    outgoing.end();
    return outgoing;
  }

  return { accessLog, ended, held, post };
}

describe('the built-in gateway', () => {
  it('tells the end of a request that has a slot, answered or aborted, on one stream', async () => {
    const { accessLog, ended, held, post } = await setUp(['a.1', 'a.2']);
    post();
    await expect.poll(() => held).toHaveLength(1);
    const second = post();
    await expect.poll(() => held).toHaveLength(2);
    expect(ended).toEqual([]);
    held[0]?.();
    await expect.poll(() => ended).toEqual(['a.1']);
    second.destroy();
    await expect.poll(() => ended).toEqual(['a.1', 'a.2']);
    expect(accessLog.streams()).toBe(1);
  });

  it('sends the body along, and tells what the answer says that it used', async () => {
    const inputs: CheckRequestInput[] = [];
    const ends: AccessLogEntry[] = [];
    const accessLog = createAccessLogService({
      receive: (end) => void ends.push(end),
      isBelieved: () => true,
      observe: () => undefined,
      onError: () => undefined,
    });
    const { address } = await serve({
      services: [accessLog],
      check: (input) => {
        inputs.push(input as CheckRequestInput);
        return { ...sampleAllowed, reservation: { id: 'a.b', tokens: 30 } };
      },
    });
    const accepted: unknown[] = [];
    const modelServer = createModelServer({
      onRequest: ({ headers }) => void accepted.push(headers['accept-encoding']),
    });
    const { port: modelPort } = await modelServer.start();
    atEnd(modelServer.stop);
    const client = createCheckClient(address);
    atEnd(client.close);
    const gateway = createGateway({ ...client, checkTimeoutMs: 5000, modelPort, issuerPort: 1 });
    const port = await gateway.listen(0);
    atEnd(gateway.close);

    const body = { model: 'llm/llama', max_tokens: 5, messages: [{ role: 'user', content: 'hello' }] };
    const ask = async (more: object) => {
      const answer = await fetch(`http://127.0.0.1:${port}/llm/llama/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...body, ...more }),
      });
      return answer.text();
    };
    await ask({});
    await ask({ stream: true, stream_options: { include_usage: true } });
    await ask({ stream: true });
    await expect.poll(() => ends).toHaveLength(3);
    expect(JSON.parse(Buffer.from(inputs[0]?.body ?? []).toString())).toEqual(body);
    expect(ends.map(({ usage }) => (usage.get('total_tokens') === undefined ? 'none' : 'told'))).toEqual([
      'told',
      'told',
      'none',
    ]);
    expect(ends[0]?.granted.get('reservation_id')).toBe('a.b');
    // Usage could not be found in what is compressed.
    expect(accepted).toEqual([undefined, undefined, undefined]);
    expect(ends[0]?.granted.get('reserved_tokens')).toBe(30);
    expect(ends[0]?.responseCode).toBe(200);
  });

  it('tells nothing of a request without a slot', async () => {
    const { accessLog, held, post } = await setUp([]);
    post();
    await expect.poll(() => held).toHaveLength(1);
    held[0]?.();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(accessLog.streams()).toBe(0);
  });
});
