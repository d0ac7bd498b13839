import { beforeAll, describe, expect, it } from 'vitest';
import type { DenialReason } from '../../src/check/denial.ts';
import { isDenied } from '../../src/check/outcome.ts';
import { createReadCheckRequest } from '../../src/envoy/check-request.ts';
import { createEncodeCheckResponse } from '../../src/envoy/check-response.ts';
import { type EnvoyMessages, loadEnvoyMessages } from '../envoy/messages.ts';
import { pairByReason, wirePairs } from './pairs.ts';

const credentialHeaders = ['authorization', 'x-api-key'];
const read = createReadCheckRequest({ headers: new Set([...credentialHeaders, 'origin']) });
const encode = createEncodeCheckResponse({ credentialHeaders, realm: 'tiergate' });
const pairs = wirePairs();

let messages: EnvoyMessages;
beforeAll(async () => {
  messages = await loadEnvoyMessages();
});

describe('by Envoy schema', () => {
  it.each([...pairs])('%s', (_name, pair) => {
    const input = read(messages.encodeRequest(pair.request), Number.POSITIVE_INFINITY);
    const outcome = pair.outcome ?? input;
    if (!('denied' in outcome)) throw new TypeError('a pair without an outcome whose request is well formed');
    const forged = isDenied(input) ? [] : input.forgedHeaders;
    if (pair.input !== undefined) expect(JSON.parse(JSON.stringify(input, plain))).toMatchObject(pair.input);
    const response = messages.decodeResponse(encode(outcome, forged));
    expect(JSON.parse(JSON.stringify(response, parsedBody))).toEqual(pair.response);
  });
});

describe('every reason', () => {
  it.each(Object.entries(pairByReason) as [DenialReason, string][])('has its pair: %s', (reason, name) => {
    expect(JSON.stringify(pairs.get(name)?.response)).toContain(`"x-tiergate-reason","value":"${reason}"`);
  });
});

function plain(_key: string, value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(value) : value;
}

function parsedBody(key: string, value: unknown): unknown {
  return key === 'body' && typeof value === 'string' ? JSON.parse(value) : value;
}
