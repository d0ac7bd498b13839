import { isIP } from 'node:net';
import { forgedPrefixes, isForged } from '../../check/answer.ts';
import type { CheckInput, MetadataScalar } from '../../check/check-input.ts';
import { type Denied, denied } from '../../check/outcome.ts';
import { ownText } from '../../own-text.ts';
import type { RequestHead } from '../http1/request-head.ts';
import type { CheckDoorProfile } from './profile.ts';

export interface ReadRequestOptions {
  readonly profile: CheckDoorProfile;
  /** Lower-case names of the headers that some stage reads. No other is looked at. */
  readonly headers: ReadonlySet<string>;
  readonly now: () => number;
  /** Told of every caller that would have to be trusted and is not. */
  readonly onUntrusted: () => void;
}

/** What comes with a connection, whatever is sent on it. */
export interface Peer {
  /** Whether what it says about the original request is believed. */
  readonly isTrusted: boolean;
  /** Empty on a Unix socket. */
  readonly address: string;
}

/**
 * Request → CheckInput, or the denial `request_invalid`: a caller that is not trusted but needs to be, an original
 * request that is not said exactly once, metadata that can not be read, and with a profile that removes nothing, headers
 * that look like ours. Never throws, and looks at each header once.
 */
export type ReadRequest = (
  head: Pick<RequestHead, 'method' | 'target' | 'rawHeaders'>,
  body: Buffer | undefined,
  peer: Peer,
) => CheckInput | Denied;

export function createReadRequest(options: ReadRequestOptions): ReadRequest {
  const { profile, now } = options;
  const { original, source: sourceName, timeout: timeoutName, removesHeaders } = profile;
  const { size: sizeName, metadata: metadataName } = profile;
  const told = [original?.method, original?.path, sourceName, timeoutName, sizeName, metadataName].filter(
    (name) => name !== undefined,
  );
  const find = createFind(new Set([...options.headers, ...told, partialBody]));

  return ({ method, target, rawHeaders }, body, peer) => {
    const headers = new Map<string, string>();
    let forged: string[] | undefined;
    let toldMethod: Told;
    let toldPath: Told;
    let source: Told;
    let timeout: Told;
    let size: Told;
    let isWhole = false;
    let toldMetadata: Told;
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const written = rawHeaders[at] ?? '';
      if (looksForged(written)) (forged ??= []).push(written.toLowerCase());
      const name = find(written);
      if (name === undefined) continue;
      const value = rawHeaders[at + 1] ?? '';
      if (options.headers.has(name)) {
        const earlier = headers.get(name);
        headers.set(name, earlier === undefined ? ownText(value) : `${earlier},${value}`);
      }
      // Twice is a doubt, and never the first or the last of the two.
      if (name === original?.method) toldMethod = toldMethod === undefined ? value : null;
      else if (name === original?.path) toldPath = toldPath === undefined ? value : null;
      else if (name === sourceName) source = source === undefined ? value : null;
      else if (name === timeoutName) timeout = timeout === undefined ? value : null;
      else if (name === sizeName) size = size === undefined ? value : null;
      else if (name === partialBody) isWhole = value === 'false';
      else if (name === metadataName) toldMetadata = toldMetadata === undefined ? value : null;
    }
    const whole = isWhole && body !== undefined ? body : undefined;
    if (original !== undefined) {
      if (!peer.isTrusted) {
        options.onUntrusted();
        return invalid('The caller is not trusted to ask for others.');
      }
      if (!toldMethod || !toldPath) return invalid('The original request is not told.');
    }
    if (forged !== undefined && !removesHeaders) {
      return invalid('A header of the request could pass for one that only the gateway sets.');
    }
    const metadata = peer.isTrusted ? metadataFrom(toldMetadata) : nothingFound;
    if (metadata === undefined) return invalid('What the body asks for can not be read.');
    return {
      id: '',
      method: original === undefined ? method : (toldMethod ?? ''),
      path: ownText(original === undefined ? target : (toldPath ?? '')),
      headers,
      forgedHeaders: forged === undefined ? nothing : [...new Set(forged)],
      contextExtensions: noText,
      metadata,
      bodyBytes: whole?.length ?? (peer.isTrusted && size ? wholeNumber(size) : undefined),
      body: whole,
      source: (peer.isTrusted ? addressIn(source) : undefined) ?? peer.address,
      deadlineAtMs: peer.isTrusted && timeout ? deadline(timeout, now) : Number.POSITIVE_INFINITY,
    };
  };
}

/** Envoy's word about a body that it sends along (`with_request_body`): whether it is cut. */
const partialBody = 'x-envoy-auth-partial-body';

/** Whether the body of that request may be looked at: it is read to its end anyway. */
export function wantsBody({ rawHeaders }: Pick<RequestHead, 'rawHeaders'>): boolean {
  return rawHeaders.some((text, at) => at % 2 === 0 && text.toLowerCase() === partialBody);
}

/** A JSON object → its scalars, as the gRPC door has them. Undefined: told twice, cut off, or no object. */
function metadataFrom(told: Told): CheckInput['metadata'] | undefined {
  // Of a request without any, Envoy says nothing, or a dash.
  if (told === undefined || told === '' || told === '-') return nothingFound;
  const metadata = new Map<string, MetadataScalar>();
  try {
    const found: unknown = told === null ? null : JSON.parse(told);
    if (typeof found !== 'object' || found === null || Array.isArray(found)) return undefined;
    for (const [key, value] of Object.entries(found) as [string, unknown][]) {
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
        metadata.set(key, value);
      }
    }
  } catch {
    return undefined;
  }
  return metadata;
}

/** RFC 9110 section 8.6, of any length that can be counted with. */
function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Null: told more than once. */
type Told = string | null | undefined;

const nothing: readonly string[] = [];
const noText: ReadonlyMap<string, string> = new Map();
const nothingFound: CheckInput['metadata'] = new Map();

function invalid(detail: string): Denied {
  return denied('request_invalid', detail);
}

function addressIn(told: Told): string | undefined {
  if (!told) return undefined;
  const last = told.slice(told.lastIndexOf(',') + 1).trim();
  return isIP(last) === 0 ? undefined : ownText(last);
}

function deadline(timeout: string, now: () => number): number {
  return /^\d{1,9}$/.test(timeout) ? now() + Number(timeout) : Number.POSITIVE_INFINITY;
}

/** Name in any case → the wanted name that it is. Nearly all others are told apart by their length. */
function createFind(wanted: ReadonlySet<string>): (written: string) => string | undefined {
  const byLength: (readonly string[] | undefined)[] = [];
  for (const name of wanted) byLength[name.length] = [...(byLength[name.length] ?? []), name];
  return (written) => {
    const sameLength = byLength[written.length];
    if (sameLength === undefined) return undefined;
    // Proxies write them in lower case.
    const at = sameLength.indexOf(written);
    return sameLength[at >= 0 ? at : sameLength.indexOf(written.toLowerCase())];
  };
}

const shortestForged = Math.min(...forgedPrefixes.map((prefix) => prefix.length));
const firstLetters = new Set(forgedPrefixes.map((prefix) => prefix.charCodeAt(0)));
const thirdLetters = new Set(forgedPrefixes.map((prefix) => prefix.charCodeAt(2)));

/** As `isForged`; two letters tell nearly all other headers apart. A bit more makes a letter of ASCII lower-case. */
function looksForged(name: string): boolean {
  return (
    name.length >= shortestForged &&
    firstLetters.has(name.charCodeAt(0) | 0x20) &&
    thirdLetters.has(name.charCodeAt(2) | 0x20) &&
    isForged(name)
  );
}
