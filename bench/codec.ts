import { loadSync } from '@grpc/proto-loader';
import { createReadCheckRequest } from '../src/envoy/check-request.ts';
import { createEncodeCheckResponse } from '../src/envoy/check-response.ts';
import { loadEnvoyMessages } from '../test/envoy/messages.ts';
import { sampleAllowed, sampleRequest } from '../test/envoy/sample.ts';

/**
 * What the hand-shaped codec is worth: reading a CheckRequest and writing a CheckResponse, against the stubs that
 * proto-loader makes of our protos, in the same process and in turns, so that both meet the same machine. Prints
 * the best of many rounds and the ratio; only the ratio means something elsewhere. To be compiled and run in the
 * repository's folder:
 *
 *     npx tsc --noEmit false --outDir dist/bench && node dist/bench/bench/codec.js
 */
const rounds = 40;
const callsPerRound = 5000;

const messages = await loadEnvoyMessages();
const request = messages.encodeRequest(sampleRequest());
const read = createReadCheckRequest({ headers: new Set(['authorization', 'x-api-key', 'origin']) });
const encode = createEncodeCheckResponse({ credentialHeaders: ['authorization'], realm: 'tiergate' });
const response = encode(sampleAllowed, []);

const loaded = loadSync('envoy/service/auth/v3/external_auth.proto', { includeDirs: ['protos'] });
const service = loaded['envoy.service.auth.v3.Authorization'];
if (service === undefined || 'format' in service) throw new TypeError('no such service');
const method = service['Check'];
if (method === undefined) throw new TypeError('no such method');
const { requestDeserialize, responseSerialize, responseDeserialize } = method;
const responseObject = responseDeserialize(response);

const candidates = {
  'read, ours': () => read(request, Number.POSITIVE_INFINITY),
  'read, proto-loader': () => requestDeserialize(request),
  'write, ours': () => encode(sampleAllowed, []),
  'write, proto-loader': () => responseSerialize(responseObject),
} as const;

const best = Object.fromEntries(Object.keys(candidates).map((name) => [name, Number.POSITIVE_INFINITY]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, call] of Object.entries(candidates)) {
    const startedAtMs = performance.now();
    for (let at = 0; at < callsPerRound; at += 1) call();
    const microseconds = ((performance.now() - startedAtMs) * 1000) / callsPerRound;
    best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, microseconds);
  }
}

console.log(`CheckRequest ${request.length} bytes, CheckResponse ${response.length} bytes`);
for (const [name, microseconds] of Object.entries(best))
  console.log(`${name}: ${microseconds.toFixed(2)} us`);
for (const what of ['read', 'write']) {
  const ratio = (best[`${what}, proto-loader`] ?? 0) / (best[`${what}, ours`] ?? 1);
  console.log(`${what}: proto-loader takes ${ratio.toFixed(1)} times as long`);
}
