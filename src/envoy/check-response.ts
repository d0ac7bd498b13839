import protobuf from 'protobufjs/minimal.js';
import { createRemovedHeaders, denialAnswer, upstreamHeaders } from '../check/answer.ts';
import { denialStatus } from '../check/denial.ts';
import type { Header } from '../check/header.ts';
import type { Allowed, Outcome, Refused } from '../check/outcome.ts';
import { rateLimitHeaders } from '../check/rate-limit-headers.ts';
import { encodeDynamicMetadata } from './dynamic-metadata.ts';

export interface CheckResponseOptions {
  /** Lower-case names of the headers that carry access tokens: taken off the request, except on public paths. */
  readonly credentialHeaders: readonly string[];
  /** The realm that `WWW-Authenticate` names. */
  readonly realm: string;
}

/**
 * Outcome → CheckResponse, ready for the wire. `forgedHeaders` are the request's. Every denial is a
 * `denied_response`, also where nobody could tell: with `failure_mode_allow: true` Envoy would let an
 * `error_response` through to the model, with the client's own headers.
 */
export type EncodeCheckResponse = (outcome: Outcome, forgedHeaders: readonly string[]) => Buffer;

export function createEncodeCheckResponse(options: CheckResponseOptions): EncodeCheckResponse {
  const { credentialHeaders, realm } = options;
  const removedHeaders = createRemovedHeaders(credentialHeaders);
  /** Without forgeries the same few arrays come again and again. */
  const encodedRemovals = new WeakMap<readonly string[], Buffer>();

  function encodeRemovals(outcome: Allowed, forgedHeaders: readonly string[]): Buffer {
    const names = removedHeaders(outcome, forgedHeaders);
    const known = encodedRemovals.get(names);
    if (known !== undefined) return known;
    const writer = protobuf.Writer.create();
    for (const name of names) writer.uint32(ok.headersToRemove).string(name);
    const encoded = Buffer.from(writer.finish());
    if (forgedHeaders.length === 0) encodedRemovals.set(names, encoded);
    return encoded;
  }

  function encodeAllowed(outcome: Allowed, forgedHeaders: readonly string[]): Buffer {
    const writer = protobuf.Writer.create();
    for (const header of upstreamHeaders(outcome)) writeHeader(writer, ok.headers, header);
    for (const header of rateLimitHeaders(outcome.windows))
      writeHeader(writer, ok.responseHeadersToAdd, header);
    const headers = writer.finish();
    const removals = encodeRemovals(outcome, forgedHeaders);
    const start = protobuf.Writer.create().uint32(response.status).uint32(0);
    start.uint32(response.okResponse).uint32(headers.length + removals.length);
    const end = protobuf.Writer.create()
      .uint32(response.dynamicMetadata)
      .bytes(encodeDynamicMetadata(outcome));
    return Buffer.concat([start.finish(), headers, removals, end.finish()]);
  }

  function encodeDenied(outcome: Refused): Buffer {
    const { status, headers, body } = denialAnswer(outcome, realm);
    const writer = protobuf.Writer.create();
    writer.uint32(response.status).fork();
    writer.uint32(rpcStatus.code).int32(denialStatus[outcome.reason].grpc);
    writer.uint32(rpcStatus.message).string(outcome.reason).ldelim();
    writer.uint32(response.deniedResponse).fork();
    writer.uint32(deniedResponse.status).fork().uint32(httpStatus.code).int32(status).ldelim();
    for (const header of headers) writeHeader(writer, deniedResponse.headers, header);
    writer.uint32(deniedResponse.body).string(body).ldelim();
    writer.uint32(response.dynamicMetadata).bytes(encodeDynamicMetadata(outcome));
    return writer.finish() as Buffer;
  }

  return (outcome, forgedHeaders) =>
    outcome.denied ? encodeDenied(outcome) : encodeAllowed(outcome, forgedHeaders);
}

// Tags: field number * 8 + wire type; numbers as in protos/envoy.

const response = { status: 0x0a, deniedResponse: 0x12, okResponse: 0x1a, dynamicMetadata: 0x22 } as const;
const ok = { headers: 0x12, headersToRemove: 0x2a, responseHeadersToAdd: 0x32 } as const;
const deniedResponse = { status: 0x0a, headers: 0x12, body: 0x1a } as const;
const rpcStatus = { code: 0x08, message: 0x12 } as const;
const httpStatus = { code: 0x08 } as const;
const option = { header: 0x0a, appendAction: 0x18 } as const;
const headerValue = { key: 0x0a, value: 0x12 } as const;

/** Replaces what is there by that name: left out, Envoy takes the action to be "append". */
const overwriteIfExistsOrAdd = 2;

/** A HeaderValueOption. Names and values are ASCII, so that their lengths are known before they are written. */
function writeHeader(writer: protobuf.Writer, tag: number, [name, value]: Header): void {
  const valueLength = fieldLength(name.length) + fieldLength(value.length);
  writer.uint32(tag).uint32(fieldLength(valueLength) + 2);
  writer.uint32(option.header).uint32(valueLength);
  writer.uint32(headerValue.key).string(name).uint32(headerValue.value).string(value);
  writer.uint32(option.appendAction).uint32(overwriteIfExistsOrAdd);
}

/** Of a field with a length: its tag, its length as a varint, itself. */
function fieldLength(length: number): number {
  let bytes = 2;
  for (let rest = length >>> 7; rest > 0; rest >>>= 7) bytes += 1;
  return bytes + length;
}
