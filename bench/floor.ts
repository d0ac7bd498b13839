import { readFileSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { authorizationDefinition } from '../src/envoy/authorization.ts';

/**
 * The floor of a gRPC hop: grpc-js as it comes, raw buffers in and out, and one constant answer, the bytes that tiergate gave
 * to the same request.
 *
 *     node floor.js ADDRESS ANSWER-FILE
 */
const [address = '127.0.0.1:0', answerFile = ''] = process.argv.slice(2);
const answer = readFileSync(answerFile);
const server = new Server();
server.addService(authorizationDefinition, {
  Check: (_call: object, callback: (error: null, response: Buffer) => void) => callback(null, answer),
});
server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  console.log('ready');
});
