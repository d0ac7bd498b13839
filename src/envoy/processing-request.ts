import type { MetadataScalar } from '../check/check-input.ts';
import { filterMetadata, grantedNamespace, type MetadataDraft } from './filter-metadata.ts';
import {
  createReader,
  enter,
  enterEntry,
  leave,
  lengthDelimited,
  readFields,
  readMessage,
  skip,
  skipRange,
} from './wire.ts';

/** What is read of a ProcessingRequest of Envoy's ext_proc filter (protos/envoy/service/ext_proc/v3). */
export interface ProcessingRequest {
  /** Response headers, lower-case names; undefined in a message about something else. */
  readonly headers: ReadonlyMap<string, string> | undefined;
  /** A part of the response's body, a view into the message. */
  readonly body: Buffer | undefined;
  /** Whether this is the last of the response. */
  readonly isEnd: boolean;
  /** Whether Envoy only tells, and waits for no answer. */
  readonly isObserving: boolean;
  /** What our Check answered (namespace of ext_authz), where the filter forwards it. */
  readonly granted: ReadonlyMap<string, MetadataScalar> | undefined;
}

/**
 * Throws an Error for what is no ProcessingRequest. `wantsGranted` says whether metadata is read: it is the same in every
 * message of a stream, and most of what a message costs.
 */
export function readProcessingRequest(message: Buffer, wantsGranted: boolean): ProcessingRequest {
  const draft: Draft = {
    bytes: message,
    reader: createReader(message),
    entries: 0,
    namespace: grantedNamespace,
    metadata: undefined,
    headers: undefined,
    body: undefined,
    isEnd: false,
    isObserving: false,
    wantsGranted,
  };
  readParts(draft, processingRequest);
  const { headers, body, isEnd, isObserving, metadata } = draft;
  return { headers, body, isEnd, isObserving, granted: metadata };
}

interface Draft extends MetadataDraft {
  readonly wantsGranted: boolean;
  headers: Map<string, string> | undefined;
  body: Buffer | undefined;
  isEnd: boolean;
  isObserving: boolean;
}

type ReadPart = (draft: Draft, field: number, type: number) => boolean;

/** As readFields, for messages that have numbers and flags among what is read. */
function readParts(draft: Draft, readPart: ReadPart): void {
  const { reader } = draft;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (!readPart(draft, tag >>> 3, tag & 7)) skip(draft, tag);
  }
}

function within(draft: Draft, readPart: ReadPart): true {
  const outerEnd = enter(draft);
  readParts(draft, readPart);
  leave(draft, outerEnd);
  return true;
}

const varint = 0;

function processingRequest(draft: Draft, field: number, type: number): boolean {
  if (field === 10 && type === varint) {
    draft.isObserving = draft.reader.bool();
    return true;
  }
  if (type !== lengthDelimited) return false;
  switch (field) {
    case 3:
      draft.headers = new Map();
      return within(draft, httpHeaders);
    case 5:
      return within(draft, httpBody);
    case 7:
      // Trailers come last.
      draft.isEnd = true;
      return false;
    case 8:
      return draft.wantsGranted && readMessage(draft, filterMetadata);
    default:
      return false;
  }
}

function httpHeaders(draft: Draft, field: number, type: number): boolean {
  if (field === 3 && type === varint) {
    draft.isEnd = draft.reader.bool();
    return true;
  }
  return field === 1 && type === lengthDelimited && readMessage(draft, headerMap);
}

function headerMap(draft: Draft, field: number): boolean {
  if (field !== 1) return false;
  const outerEnd = enterEntry(draft);
  let name = '';
  let value = '';
  readFields(draft, (_draft, part) => {
    if (part !== 1 && part !== 2 && part !== 3) return false;
    const length = skipRange(draft);
    const { pos } = draft.reader;
    const text = draft.bytes.toString('utf8', pos - length, pos);
    if (part === 1) name = text.toLowerCase();
    else if (length > 0) value = text;
    return true;
  });
  leave(draft, outerEnd);
  draft.headers?.set(name, value);
  return true;
}

function httpBody(draft: Draft, field: number, type: number): boolean {
  if (field === 2 && type === varint) {
    draft.isEnd = draft.reader.bool();
    return true;
  }
  if (field !== 1 || type !== lengthDelimited) return false;
  const length = skipRange(draft);
  const { pos } = draft.reader;
  draft.body = draft.bytes.subarray(pos - length, pos);
  return true;
}
