import { type AddressInfo, createServer } from 'node:net';
import { Client, credentials } from '@grpc/grpc-js';
import protobuf from 'protobufjs/minimal.js';
import { checkMethod } from './authorization.ts';
import type { Transport } from './transport.ts';

/** Time for all calls together; what is not warm by then gets warm by use. */
const timeoutMs = 2000;

/**
 * Makes the first real Check as fast as the hundredth: calls it over a loopback connection of its own,
 * one call after the other, and closes it again. A server of its own, because the real one may want client
 * certificates, and nobody is to reach it without. Never rejects; `onError` is told why it ended early.
 */
export async function warmUp(
  transport: Transport,
  calls: number,
  onError: (error: unknown) => void,
): Promise<void> {
  const listener = createServer(transport.accept);
  let client: Client | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      // Exclusive, as grpc-js's own can not be: workers of node:cluster would share even this port, and each other's calls.
      listener.listen({ port: 0, host: '127.0.0.1', exclusive: true }, resolve);
    });
    const { port } = listener.address() as AddressInfo;
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { 'grpc.enable_channelz': 0 });
    const deadline = Date.now() + timeoutMs;
    for (let call = 0; call < calls; call += 1) await ask(client, deadline);
  } catch (error) {
    onError(error);
  } finally {
    client?.close();
    listener.close();
    void transport.drain();
  }
}

function ask(client: Client, deadline: number): Promise<void> {
  const { path, requestSerialize, responseDeserialize } = checkMethod;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline }, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/**
 * A CheckRequest like any other but for its token: there is none, so that no API server is asked and nothing is
 * charged. Its path is under every template.
 */
const request = (() => {
  const writer = protobuf.Writer.create();
  writer.uint32(0x0a).fork(); // attributes = 1
  writer.uint32(0x22).fork(); // request = 4
  writer.uint32(0x12).fork(); // http = 2
  writer.uint32(0x12).string('POST'); // method = 2
  writer.uint32(0x22).string('/warm-up/warm-up/v1/chat/completions'); // path = 4
  for (const name of ['accept', 'content-type', 'user-agent', 'x-forwarded-for', 'x-request-id']) {
    writer.uint32(0x1a).fork().uint32(0x0a).string(name).uint32(0x12).string('warm-up').ldelim(); // headers = 3
  }
  return Buffer.from(writer.ldelim().ldelim().ldelim().finish());
})();
