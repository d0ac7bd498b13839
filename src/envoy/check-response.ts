import protobuf from 'protobufjs/minimal.js';
import {
  createRemovedHeaders,
  denialAnswer,
  reservationHeaders,
  subjectHeaders,
  tierHeaders,
} from '../check/answer.ts';
import { createByTier } from '../check/by-tier.ts';
import { denialStatus } from '../check/denial.ts';
import type { Header } from '../check/header.ts';
import type { WindowState } from '../check/limit.ts';
import type { Allowed, Outcome, Refused } from '../check/outcome.ts';
import { rateLimitHeaders } from '../check/rate-limit-headers.ts';
import {
  encodeHeaders,
  fieldLength,
  headersLength,
  writeBytes,
  writeField,
  writeHeaders,
} from './answer-bytes.ts';
import {
  encodeHeld,
  encodeReason,
  encodeTier,
  encodeUser,
  limitsTemplate,
  writeLimits,
} from './dynamic-metadata.ts';

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

/** What an answer says of a tier and a model. */
interface TierBytes {
  readonly headers: Buffer;
  readonly metadata: Uint8Array;
}

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

  const tierBytes = createByTier<TierBytes>((outcome) => ({
    headers: encodeHeaders(ok.headers, tierHeaders(outcome)),
    metadata: encodeTier(outcome),
  }));

  function encodeAllowed(outcome: Allowed, forgedHeaders: readonly string[]): Buffer {
    const { windows, reservation } = outcome;
    const tier = tierBytes(outcome);
    return encodeResponse({
      status: statusOk,
      tag: response.okResponse,
      answer: [
        encodeHeaders(ok.headers, subjectHeaders(outcome)),
        tier.headers,
        encodeRemovals(outcome, forgedHeaders),
        reservation === undefined ? nothing : encodeHeaders(ok.headers, reservationHeaders(outcome)),
      ],
      headersTag: ok.responseHeadersToAdd,
      headers: rateLimitHeaders(windows),
      metadata: [encodeUser(outcome), tier.metadata, encodeHeld(outcome)],
      windows,
    });
  }

  function encodeDenied(outcome: Refused): Buffer {
    const { status, headers, body } = denialAnswer(outcome, realm);
    const code = protobuf.Writer.create().uint32(response.status).fork();
    code.uint32(rpcStatus.code).int32(denialStatus[outcome.reason].grpc);
    code.uint32(rpcStatus.message).string(outcome.reason).ldelim();
    const httpCode = protobuf.Writer.create().uint32(deniedResponse.status).fork();
    httpCode.uint32(httpStatus.code).int32(status).ldelim();
    return encodeResponse({
      status: code.finish(),
      tag: response.deniedResponse,
      answer: [httpCode.finish(), protobuf.Writer.create().uint32(deniedResponse.body).string(body).finish()],
      headersTag: deniedResponse.headers,
      headers,
      metadata: [encodeUser(outcome), encodeTier(outcome), encodeReason(outcome)],
      windows: outcome.windows ?? [],
    });
  }

  return (outcome, forgedHeaders) =>
    outcome.denied ? encodeDenied(outcome) : encodeAllowed(outcome, forgedHeaders);
}

const nothing = new Uint8Array(0);

/** What a CheckResponse is put together from: what is as bytes already, and what differs in every answer. */
interface ResponseParts {
  readonly status: Uint8Array;
  readonly tag: number;
  readonly answer: readonly Uint8Array[];
  readonly headersTag: number;
  readonly headers: readonly Header[];
  readonly metadata: readonly Uint8Array[];
  readonly windows: readonly WindowState[];
}

/** Everything is written once, into its place. */
function encodeResponse(parts: ResponseParts): Buffer {
  const { status, tag, answer, headersTag, headers, metadata, windows } = parts;
  let answerLength = headersLength(headers);
  for (const part of answer) answerLength += part.length;
  const limits = limitsTemplate(windows);
  let metadataLength = limits?.bytes.length ?? 0;
  for (const part of metadata) metadataLength += part.length;
  const bytes = Buffer.allocUnsafe(status.length + fieldLength(answerLength) + fieldLength(metadataLength));

  let at = writeBytes(bytes, 0, status);
  at = writeField(bytes, at, tag, answerLength);
  for (const part of answer) at = writeBytes(bytes, at, part);
  at = writeHeaders(bytes, at, headersTag, headers);
  at = writeField(bytes, at, response.dynamicMetadata, metadataLength);
  for (const part of metadata) at = writeBytes(bytes, at, part);
  if (limits !== undefined) writeLimits(bytes, at, limits, windows);
  return bytes;
}

// Tags: field number * 8 + wire type; numbers as in protos/envoy.

const response = { status: 0x0a, deniedResponse: 0x12, okResponse: 0x1a, dynamicMetadata: 0x22 } as const;
const ok = { headers: 0x12, headersToRemove: 0x2a, responseHeadersToAdd: 0x32 } as const;
const deniedResponse = { status: 0x0a, headers: 0x12, body: 0x1a } as const;
const rpcStatus = { code: 0x08, message: 0x12 } as const;
const httpStatus = { code: 0x08 } as const;

/** `status` of a request that may pass: empty, which is OK, and there. */
const statusOk = Uint8Array.of(response.status, 0);
