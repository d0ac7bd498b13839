import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { bindListener } from '../src/bind-listener.ts';
import { authorizationDefinition, checkMethod } from '../src/envoy/authorization.ts';
import { createTransport } from '../src/envoy/transport.ts';

/**
 * The floor of a gRPC hop: one constant answer, the bytes that tiergate gave to the same request. `grpc-js`: as it comes, raw
 * buffers in and out. `tiergate`: the same on the door's own HTTP/2.
 *
 *     node floor.js ADDRESS ANSWER-FILE grpc-js|tiergate
 */
const [address = '127.0.0.1:0', answerFile = '', transport = 'grpc-js'] = process.argv.slice(2);
const answer = readFileSync(answerFile);

function serveByLibrary(): void {
  const server = new Server();
  server.addService(authorizationDefinition, {
    Check: (_call: object, callback: (error: null, response: Buffer) => void) => callback(null, answer),
  });
  server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
    if (error !== null) throw error;
    console.log('ready');
  });
}

async function serveByOurselves(): Promise<void> {
  const { accept } = createTransport('tiergate', {
    handleCheck: (_request, _deadlineAtMs, send) => send(answer),
    services: [],
    tuning: {
      keepaliveMs: 30_000,
      keepaliveTimeoutMs: 10_000,
      maxConnectionAgeMs: Number.POSITIVE_INFINITY,
      maxConnectionAgeGraceMs: 30_000,
      maxMessageBytes: 4 * 1024 * 1024,
    },
    onError: console.error,
  });
  await bindListener(createServer({ noDelay: true }, accept), address, { mode: 0o660 });
  console.log('ready', checkMethod.path);
}

if (transport === 'tiergate') await serveByOurselves();
else serveByLibrary();
