import { type ClientDuplexStream, type ServiceError, status } from '@grpc/grpc-js';
import * as fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createIsBelieved } from '../../src/envoy/believed-peers.ts';
import {
  createExternalProcessor,
  type ExternalProcessorEvent,
  type ExternalProcessorOptions,
} from '../../src/envoy/external-processor.ts';
import { readProcessingRequest } from '../../src/envoy/processing-request.ts';
import type { RequestEnd } from '../../src/settle/request-end.ts';
import { type EnvoyMessages, loadEnvoyMessages } from './messages.ts';
import { describeOnEachTransport, serve } from './serve.ts';
import { createServiceClient } from './service-client.ts';

let messages: EnvoyMessages;
beforeAll(async () => {
  messages = await loadEnvoyMessages();
});

const metadata_context = {
  filter_metadata: {
    tiergate: { reservation_id: 'of another namespace' },
    'envoy.filters.http.ext_authz': { reservation_id: 'T.R', user: 'alice', reserved_tokens: 150 },
  },
};
const granted = new Map<string, unknown>([
  ['reservation_id', 'T.R'],
  ['user', 'alice'],
  ['reserved_tokens', 150],
]);

const message = (part: object, more: object = { metadata_context, observability_mode: true }) =>
  messages.encodeProcessing({ ...part, ...more });
const headers = (fields: Readonly<Record<string, string>>, end_of_stream = false) => ({
  response_headers: {
    headers: {
      headers: Object.entries(fields).map(([key, value]) => ({ key, raw_value: Buffer.from(value) })),
    },
    end_of_stream,
  },
});
const body = (text: string, end_of_stream = false) => ({
  response_body: { body: Buffer.from(text), end_of_stream },
});
const ofEvents = headers({ ':status': '200', 'Content-Type': 'text/event-stream' });
const ofJson = headers({ ':status': '200', 'content-type': 'application/json' });
const usageEvent = `data: ${JSON.stringify({ usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } })}\n\n`;
const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10 };

async function setUp(
  options: Partial<ExternalProcessorOptions> & { readonly trust?: readonly string[] } = {},
) {
  const ends: RequestEnd[] = [];
  const observed: ExternalProcessorEvent[] = [];
  const { trust = ['127.0.0.0/8'], ...rest } = options;
  const service = createExternalProcessor({
    receive: (end) => void ends.push(end),
    isBelieved: createIsBelieved({ address: '127.0.0.1:0', isMutualTls: false, trust }),
    observe: (event) => observed.push(event),
    ...rest,
  });
  const { address, server } = await serve({ services: [service] });
  const stub = createServiceClient(service.definition, address);

  function open() {
    const answers: Buffer[] = [];
    const stream: ClientDuplexStream<Buffer, Buffer> = stub.makeBidiStreamRequest<Buffer, Buffer>(
      '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
      (bytes) => bytes,
      (bytes) => bytes,
    );
    stream.on('data', (answer: Buffer) => answers.push(answer));
    stream.on('error', () => undefined);
    const ended = new Promise<Partial<ServiceError>>((resolve) => void stream.on('status', resolve));
    return { stream, ended, answers };
  }

  /** All of one stream, which its peer ends. */
  async function tell(...parts: readonly Buffer[]) {
    const { stream, ended, answers } = open();
    for (const part of parts) stream.write(part);
    stream.end();
    const { code } = await ended;
    return { code, answers };
  }
  return { service, server, ends, observed, open, tell };
}

describeOnEachTransport('the external processor', () => {
  it('finds usage in copies of events, wherever they are cut, and answers nothing', async () => {
    const { tell, ends, observed, service } = await setUp();
    const told = await tell(
      message(ofEvents),
      message(body('data: {"choices":[{}]}\n\n')),
      message(body(usageEvent.slice(0, 20))),
      message(body(usageEvent.slice(20))),
      message(body('data: [DONE]\n\n')),
      message(body('', true)),
    );
    expect(told).toEqual({ code: status.OK, answers: [] });
    const responseBytes = 24 + usageEvent.length + 14;
    expect(ends).toEqual([{ granted, usage, status: 200, responseBytes }]);
    expect(observed).toEqual(['ended']);
    expect(service.streams()).toBe(0);
  });

  it('finds usage in JSON at its end', async () => {
    const { tell, ends } = await setUp();
    const text = JSON.stringify({ usage: { input_tokens: 7, output_tokens: 3 } });
    await tell(message(ofJson), message(body(text.slice(0, 9))), message(body(text.slice(9), true)));
    expect(ends).toMatchObject([{ usage: { inputTokens: 7, outputTokens: 3 }, responseBytes: text.length }]);
  });

  it('tells what it knows of an answer that was cut off: events so far, of JSON nothing', async () => {
    const { tell, open, ends, observed, service } = await setUp();
    await tell(message(ofEvents), message(body(usageEvent)));
    await tell(message(ofJson), message(body('{"usage":{"total_tokens":1}')));
    const { stream } = open();
    stream.write(message(ofEvents));
    stream.write(message(body(`${usageEvent}data: `)));
    await expect.poll(service.heldBytes).toBeGreaterThan(0);
    stream.cancel();
    await expect.poll(() => ends).toMatchObject([{ usage }, { usage: undefined }, { usage }]);
    expect(observed).toEqual(['cut', 'cut', 'cut']);
  });

  it('tells the end of an answer without a body, or with trailers', async () => {
    const { tell, ends, observed } = await setUp();
    await tell(message(headers({ ':status': '503' }, true)));
    await tell(message(ofEvents), message(body(usageEvent)), message({ response_trailers: {} }));
    expect(ends).toMatchObject([{ status: 503, usage: undefined }, { usage }]);
    expect(observed).toEqual(['ended', 'ended']);
  });

  it('does not look into what is compressed', async () => {
    const { tell, ends } = await setUp();
    const gzip = headers({
      ':status': '200',
      'content-type': 'application/json',
      'content-encoding': 'gzip',
    });
    await tell(message(gzip), message(body('{"usage":{"total_tokens":1}}', true)));
    expect(ends).toMatchObject([{ usage: undefined, status: 200, responseBytes: 28 }]);
  });

  it('tells of no request without a reservation', async () => {
    const { tell, ends, observed } = await setUp();
    await tell(message(ofEvents, { observability_mode: true }), message(body(usageEvent, true)));
    expect([ends, observed]).toEqual([[], ['unreserved']]);
  });

  it('steps out of the way of a filter that waits for it', async () => {
    const { open, ends, observed } = await setUp();
    const { stream, ended, answers } = open();
    stream.write(message(ofEvents, { metadata_context }));
    expect(await ended).toMatchObject({ code: status.OK });
    expect([answers, ends, observed]).toEqual([[], [], ['answering']]);
  });

  it('takes nothing from a peer that is not believed', async () => {
    const { open, ends, observed } = await setUp({ trust: ['10.0.0.0/8'] });
    const { stream, ended } = open();
    stream.write(message(ofEvents));
    expect(await ended).toMatchObject({ code: status.PERMISSION_DENIED });
    expect([ends, observed]).toEqual([[], ['foreign']]);
  });

  it('looks into no more answers than it may hold, and still tells their ends', async () => {
    const { tell, open, ends, observed, service } = await setUp({ maxHeldBytes: 1000 });
    const held = open();
    held.stream.write(message(ofJson));
    held.stream.write(message(body(`{"x":"${'x'.repeat(800)}"`)));
    await expect.poll(service.heldBytes).toBeGreaterThan(800);
    await tell(message(ofJson), message(body(`{"usage":{"total_tokens":1},"x":"${'x'.repeat(300)}"}`, true)));
    expect(observed).toEqual(['dropped', 'ended']);
    held.stream.write(message(body(',"usage":{"total_tokens":2}}', true)));
    held.stream.end();
    await held.ended;
    expect(ends.map((end) => end.usage)).toEqual([undefined, { totalTokens: 2 }]);
    // What was held is free again.
    await tell(message(ofJson), message(body(`{"usage":{"total_tokens":3},"x":"${'x'.repeat(800)}"}`, true)));
    expect(ends.at(-1)?.usage).toEqual({ totalTokens: 3 });
  });

  it('refuses streams beyond its bound, loudly', async () => {
    const { open, tell, observed, service } = await setUp({ maxStreams: 1 });
    const first = open();
    first.stream.write(message(ofEvents));
    await expect.poll(service.streams).toBe(1);
    expect((await tell(message(ofEvents))).code).toBe(status.RESOURCE_EXHAUSTED);
    expect(observed).toEqual(['dropped']);
    first.stream.cancel();
    await expect.poll(service.streams).toBe(0);
    expect((await tell(message(ofEvents))).code).toBe(status.OK);
  });

  it('tells what it knows of streams that are cut off when the server ends', async () => {
    const { open, server, ends, service } = await setUp();
    const { stream } = open();
    stream.write(message(ofEvents));
    stream.write(message(body('data: ')));
    await expect.poll(service.heldBytes).toBeGreaterThan(0);
    await server.stop({ drainDelayMs: 0, graceMs: 20 });
    await expect.poll(() => ends).toMatchObject([{ usage: undefined, status: 200 }]);
  });

  it('survives whatever bytes come, and tells of each end once', async () => {
    const { tell, ends, observed, service } = await setUp();
    const whole = [message(ofEvents), message(body(usageEvent)), message(body('', true))];
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.nat(2), async (bytes, at) => {
        ends.length = 0;
        observed.length = 0;
        await tell(...whole.slice(0, at), Buffer.from(bytes), ...whole.slice(at));
        expect(ends.length).toBeLessThanOrEqual(1);
        expect(observed).toHaveLength(1);
      }),
      { numRuns: 100 },
    );
    expect(service.streams()).toBe(0);
  });
});

describe('a ProcessingRequest', () => {
  it('is read or refused, wherever it is cut off', () => {
    const whole = message(ofEvents);
    let refused = 0;
    for (let end = 0; end < whole.length; end += 1) {
      try {
        readProcessingRequest(whole.subarray(0, end), true);
      } catch {
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(whole.length / 2);
    expect(readProcessingRequest(whole, true)).toEqual({
      headers: new Map([
        [':status', '200'],
        ['content-type', 'text/event-stream'],
      ]),
      body: undefined,
      isEnd: false,
      isObserving: true,
      granted,
    });
    expect(readProcessingRequest(whole, false).granted).toBeUndefined();
  });
});
