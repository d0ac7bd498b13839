import type { CheckInput, MetadataScalar } from '../check/check-input.ts';
import { type Denied, denied } from '../check/outcome.ts';
import { filterMetadata, type MetadataDraft, usageNamespace } from './filter-metadata.ts';
import { createHeaderNames, type HeaderNames } from './header-names.ts';
import {
  createReader,
  enter,
  enterEntry,
  leave,
  lengthDelimited,
  readFields,
  readInt64,
  readMessage,
  readText,
  skip,
  skipRange,
  textAt,
} from './wire.ts';

export interface CheckRequestOptions {
  /** Lower-case names of the headers that some stage reads. No other is decoded. */
  readonly headers: ReadonlySet<string>;
}

/** What a CheckRequest says. No stage reads the authority; it is there for the log. */
export interface CheckRequestInput extends CheckInput {
  /** `:authority` as sent, port and all. */
  readonly host: string;
}

/**
 * CheckRequest → CheckInput, or the denial `request_invalid`: what is not a CheckRequest, what holds no HTTP
 * request, and what is far beyond anything that Envoy sends. Never throws. `deadlineAtMs` is the caller's.
 */
export type ReadCheckRequest = (message: Buffer, deadlineAtMs: number) => CheckRequestInput | Denied;

/**
 * The decoder knows the few fields that are used (protos/envoy/service/auth/v3) and steps over all others by
 * their length, so that a body of a megabyte costs no more than none. It follows protobuf's rules for a field
 * that comes twice: scalars are replaced, messages merged, the last of a oneof wins. Headers depart from that:
 * one that comes twice is joined by a comma in either form, because for a credential a doubt must stay visible.
 */
export function createReadCheckRequest(options: CheckRequestOptions): ReadCheckRequest {
  const names = createHeaderNames(new Set([...options.headers, ...aboutBody]));
  return (message, deadlineAtMs) => {
    const draft = createDraft(message, names, options.headers);
    try {
      readFields(draft, checkRequest);
    } catch (cause) {
      return invalid('The request can not be read.', cause);
    }
    if (!draft.hasHttp) return invalid('No HTTP request was sent to be checked.');
    return {
      id: draft.id,
      method: draft.method,
      path: draft.path,
      host: draft.host,
      headers: draft.headers,
      forgedHeaders: draft.forged === undefined ? nothing : [...draft.forged],
      contextExtensions: draft.contextExtensions ?? noText,
      metadata: draft.metadata ?? noMetadata,
      bodyBytes: bodyBytesOf(draft),
      body: isWhole(draft) ? draft.body : undefined,
      source: draft.source,
      deadlineAtMs,
    };
  };
}

const contentLength = 'content-length';
/** Envoy's word, in place of any client's, in a CheckRequest with a body (`with_request_body`): whether it is cut. */
const partialBody = 'x-envoy-auth-partial-body';
const aboutBody: readonly string[] = [contentLength, partialBody];

function isWhole(draft: Draft): boolean {
  return draft.isPartial === 'false';
}

/**
 * `size` is what Envoy has received so far: all of it only where a filter has waited for all, which the body that was sent
 * along and the metadata that was found in it tell.
 */
function bodyBytesOf(draft: Draft): number | undefined {
  if (draft.contentLength !== undefined) return draft.contentLength;
  const isKnown = draft.size > 0 && (isWhole(draft) || (draft.metadata?.size ?? 0) > 0);
  return isKnown ? draft.size : undefined;
}

const nothing: readonly string[] = [];
const noText: ReadonlyMap<string, string> = new Map();
const noMetadata: ReadonlyMap<string, MetadataScalar> = new Map();

function invalid(detail: string, cause?: unknown): Denied {
  return denied('request_invalid', detail, cause === undefined ? {} : { cause });
}

/** What was read so far. Merging falls out of it: a message that comes twice is read into the same draft. */
interface Draft extends MetadataDraft {
  readonly names: HeaderNames;
  readonly wanted: ReadonlySet<string>;
  readonly headers: Map<string, string>;
  hasHttp: boolean;
  id: string;
  method: string;
  path: string;
  host: string;
  source: string;
  forged: Set<string> | undefined;
  contextExtensions: Map<string, string> | undefined;
  contentLength: number | undefined;
  isPartial: string;
  size: number;
  body: Buffer | undefined;
}

function createDraft(bytes: Buffer, names: HeaderNames, wanted: ReadonlySet<string>): Draft {
  return {
    bytes,
    reader: createReader(bytes),
    entries: 0,
    namespace: usageNamespace,
    names,
    wanted,
    headers: new Map(),
    hasHttp: false,
    id: '',
    method: '',
    path: '',
    host: '',
    source: '',
    forged: undefined,
    contextExtensions: undefined,
    metadata: undefined,
    contentLength: undefined,
    isPartial: '',
    size: 0,
    body: undefined,
  };
}

// One function for each message, named as the message: field numbers as in protos/.

function checkRequest(draft: Draft, field: number): boolean {
  return field === 1 && readMessage(draft, attributeContext);
}

function attributeContext(draft: Draft, field: number): boolean {
  switch (field) {
    case 1:
      return readMessage(draft, sourcePeer);
    case 4:
      return readMessage(draft, request);
    case 10:
      return readContextExtension(draft);
    case 11:
      return readMessage(draft, filterMetadata);
    default:
      return false;
  }
}

function sourcePeer(draft: Draft, field: number): boolean {
  return field === 1 && readMessage(draft, address);
}

function address(draft: Draft, field: number): boolean {
  if (field === 1) return readMessage(draft, socketAddress);
  // A pipe or an Envoy-internal address in the same oneof: no IP address then.
  if (field === 2 || field === 3) draft.source = '';
  return false;
}

function socketAddress(draft: Draft, field: number): boolean {
  if (field !== 2) return false;
  draft.source = readText(draft);
  return true;
}

function request(draft: Draft, field: number): boolean {
  if (field !== 2) return false;
  draft.hasHttp = true;
  const { reader } = draft;
  const outerEnd = enter(draft);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === sizeTag) draft.size = readInt64(draft);
    else if ((tag & 7) !== lengthDelimited || !httpRequest(draft, tag >>> 3)) skip(draft, tag);
  }
  leave(draft, outerEnd);
  return true;
}

/** `size` = 9, a varint; -1 where Envoy does not know. */
const sizeTag = 0x48;

function httpRequest(draft: Draft, field: number): boolean {
  switch (field) {
    case 1:
      draft.id = readText(draft);
      return true;
    case 2:
      draft.method = readText(draft);
      return true;
    case 3:
      return readHeader(draft, false);
    case 4:
      draft.path = readText(draft);
      return true;
    case 5:
      draft.host = readText(draft);
      return true;
    case 11:
    case 12:
      readBody(draft);
      return true;
    case 13:
      return readMessage(draft, headerMap);
    default:
      return false;
  }
}

/** `body`, text, or `raw_body`, bytes: a view, so that a body that nobody looks at costs nothing. */
function readBody(draft: Draft): void {
  const length = skipRange(draft);
  const end = draft.reader.pos;
  draft.body = draft.bytes.subarray(end - length, end);
}

/** RFC 9110 section 8.6, of any length that can be counted with. */
function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function headerMap(draft: Draft, field: number): boolean {
  return field === 1 && readHeader(draft, true);
}

/** An entry of the `headers` map (key 1, value 2), or a HeaderValue of `header_map` (and 3, raw bytes). */
function readHeader(draft: Draft, hasRawValue: boolean): true {
  const { bytes, reader, names } = draft;
  const outerEnd = enterEntry(draft);
  let name: string | undefined;
  let forged: string | undefined;
  let valueLength = 0;
  let valueEnd = 0;
  let rawLength = 0;
  let rawEnd = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const field = (tag & 7) === lengthDelimited ? tag >>> 3 : 0;
    if (field === 1) {
      const start = -skipRange(draft) + reader.pos;
      name = names.find(bytes, start, reader.pos);
      forged = names.findForged(bytes, start, reader.pos);
    } else if (field === 2) {
      valueLength = skipRange(draft);
      valueEnd = reader.pos;
    } else if (field === 3 && hasRawValue) {
      rawLength = skipRange(draft);
      rawEnd = reader.pos;
    } else skip(draft, tag);
  }
  leave(draft, outerEnd);

  if (forged !== undefined) (draft.forged ??= new Set()).add(forged);
  if (name === undefined) return true;
  if (valueLength > 0 && rawLength > 0) throw new RangeError('a header with two values');
  const value =
    rawLength > 0
      ? // Any bytes at all: those that are no text become U+FFFD, which is in no token and in no name.
        bytes.toString('utf8', rawEnd - rawLength, rawEnd)
      : textAt(bytes, valueEnd - valueLength, valueEnd);
  if (name === contentLength) draft.contentLength = wholeNumber(value);
  else if (name === partialBody) draft.isPartial = draft.isPartial === '' ? value : 'told twice';
  if (!draft.wanted.has(name)) return true;
  const earlier = draft.headers.get(name);
  draft.headers.set(name, earlier === undefined ? value : `${earlier},${value}`);
  return true;
}

function readContextExtension(draft: Draft): true {
  const outerEnd = enterEntry(draft);
  let key = '';
  let value = '';
  readFields(draft, (_draft, field) => {
    if (field === 1) key = readText(draft);
    else if (field === 2) value = readText(draft);
    else return false;
    return true;
  });
  leave(draft, outerEnd);
  (draft.contextExtensions ??= new Map()).set(key, value);
  return true;
}
