import { isUtf8 } from 'node:buffer';
import type { DoorOptions, Person } from './fuzz-world.ts';

/**
 * What may pass, said once more: read from the bytes by protobuf's rules alone, judged by the words and a
 * table of people. Shares no code with what it judges.
 */
export interface Verdict {
  readonly kind: 'public' | 'identity' | 'model';
  readonly person?: Person;
  readonly model?: string;
  /** Envoy's stream id. */
  readonly id: string;
}

/** What a request says, besides whether it may pass. */
export interface RequestFacts {
  /** Lower-case names of all its headers, whatever they are for. */
  readonly headerNames: readonly string[];
  /** The first two segments of its path. */
  readonly pathModel: string;
}

export interface Judgement {
  /** Undefined: it must not pass. */
  readonly verdict: Verdict | undefined;
  readonly facts: RequestFacts;
}

class Unreadable extends Error {}

const nothing: Judgement = { verdict: undefined, facts: { headerNames: [], pathModel: '' } };

export function judge(door: DoorOptions, people: readonly Person[], message: Buffer): Judgement {
  try {
    return judgeReadable(door, people, message);
  } catch (error) {
    if (error instanceof Unreadable) return nothing;
    throw error;
  }
}

function judgeReadable(door: DoorOptions, people: readonly Person[], message: Buffer): Judgement {
  const attributes = merged(message, 1);
  const https = parts(merged(attributes, 4), 2);
  if (https.length === 0) return nothing;
  const http = Buffer.concat(https.map(whole));
  const path = lastText(http, 4);
  const headers = headersOf(http);
  const [plain = ''] = path.split('?');
  const segments = plain.split('/');
  const facts: RequestFacts = {
    headerNames: headers.map(({ name }) => name),
    pathModel: segments.slice(1, 3).join('/'),
  };
  const no: Judgement = { verdict: undefined, facts };
  const id = lastText(http, 1);
  if (!isPlainPath(plain)) return no;

  const context = textMap(parts(attributes, 10));
  const routeClass = context.get('tiergate.class');
  const has = (wanted: string) => headers.some(({ name }) => name === wanted);
  const isPreflight =
    door.cors && lastText(http, 2) === 'OPTIONS' && has('origin') && has('access-control-request-method');
  const isUnder = (prefixes: readonly string[]) =>
    prefixes.some((prefix) => plain === prefix || plain.startsWith(`${prefix}/`));
  const isKnownClass = routeClass === 'public' || routeClass === 'identityOnly';
  if (routeClass === 'public' || isPreflight || (!isKnownClass && isUnder(door.public))) {
    return { verdict: { kind: 'public', id }, facts };
  }

  const person = personOf(door, people, headers);
  if (person?.subject === undefined) return no;
  if (routeClass === 'identityOnly' || isUnder(door.identityOnly)) {
    return { verdict: { kind: 'identity', person, id }, facts };
  }
  const sources: Readonly<Record<DoorOptions['from'], () => string | undefined>> = {
    path: () => facts.pathModel,
    context: () => `${context.get('tiergate.namespace')}/${context.get('tiergate.model')}`,
    metadata: () => metadataModel(attributes),
    header: () => {
      const sent = headers.filter(({ name }) => name === door.header);
      return sent.length === 1 ? sent[0]?.value() : undefined;
    },
  };
  const model = sources[door.from]();
  if (model === undefined || person.models?.includes(model) !== true) return no;
  return { verdict: { kind: 'model', person, model, id }, facts };
}

/** Exactly one value in all headers that may carry a token, `authorization` by the scheme Bearer. */
function personOf(
  { credentialHeaders }: DoorOptions,
  people: readonly Person[],
  headers: readonly SentHeader[],
): Person | undefined {
  const tokens = new Set<string>();
  for (const name of credentialHeaders) {
    const values = headers.filter((header) => header.name === name).map(({ value }) => value());
    const [value] = values;
    if (value === undefined) continue;
    if (values.length > 1) return undefined;
    if (name !== 'authorization') tokens.add(value.trim());
    else if (/^bearer /i.test(value)) tokens.add(value.slice('bearer '.length).trim());
    else return undefined;
  }
  const [token] = tokens;
  return tokens.size === 1 ? people.find((person) => person.token === token) : undefined;
}

/** Nothing in it that two servers could read in two ways. */
function isPlainPath(path: string): boolean {
  const [root, ...segments] = path.split('/');
  if (root !== '' || segments.length === 0) return false;
  return segments.every((segment, at) => {
    if (segment === '') return at === segments.length - 1;
    if (segment === '.' || segment === '..') return false;
    // RFC 3986: pchar, without `;`.
    if (!/^(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%[0-9A-Fa-f]{2})+$/.test(segment)) return false;
    const escaped = (segment.match(/%../g) ?? []).map((escape) => Number.parseInt(escape.slice(1), 16));
    return escaped.every((byte) => !'./\\\0%'.includes(String.fromCharCode(byte)));
  });
}

function metadataModel(attributes: Buffer): string | undefined {
  const lastNamed = (entries: readonly Buffer[], name: string) =>
    entries.map(whole).findLast((entry) => lastText(entry, 1) === name);
  const ours = lastNamed(parts(merged(attributes, 11), 1), 'tiergate');
  const entry = ours && lastNamed(parts(merged(ours, 2), 1), 'model');
  if (entry === undefined) return undefined;
  // google.protobuf.Value: of its kinds the last one that was set counts, and a text is field 3.
  const kinds = fields(merged(entry, 2)).filter(({ number, wire }) => valueWire[number] === wire);
  const last = kinds.at(-1);
  return last?.number === 3 && last.bytes !== undefined ? utf8(last.bytes) : undefined;
}

/** Wire types of the kinds of a Value by their numbers. */
const valueWire: Readonly<Record<number, number>> = { 1: 0, 2: 1, 3: 2, 4: 0, 5: 2, 6: 2 };

interface SentHeader {
  readonly name: string;
  readonly value: () => string;
}

/** Of the map and of the list, each entry for itself; a value may be raw bytes. */
function headersOf(http: Buffer): readonly SentHeader[] {
  const nameOf = (entry: Buffer) => lastBytes(entry, 1).toString('latin1').toLowerCase();
  const mapped = parts(http, 3).map(whole);
  const listed = parts(merged(http, 13), 1).map(whole);
  return [
    ...mapped.map((entry) => ({ name: nameOf(entry), value: () => lastText(entry, 2) })),
    ...listed.map((entry) => ({
      name: nameOf(entry),
      value: () => {
        const value = lastBytes(entry, 2);
        const raw = lastBytes(entry, 3);
        if (value.length > 0 && raw.length > 0) throw new Unreadable('two values');
        return raw.length > 0 ? raw.toString('utf8') : utf8(value);
      },
    })),
  ];
}

function textMap(entries: readonly Buffer[]): ReadonlyMap<string, string> {
  return new Map(entries.map(whole).map((entry) => [lastText(entry, 1), lastText(entry, 2)] as const));
}

// Protobuf (encoding guide): messages that come in parts are merged, which is what their bytes one after the
// other say; of a scalar the last one counts.

interface Field {
  readonly number: number;
  readonly wire: number;
  /** Of a field with a length. */
  readonly bytes?: Buffer;
}

function merged(message: Buffer, number: number): Buffer {
  return Buffer.concat(parts(message, number).map(whole));
}

function parts(message: Buffer, number: number): readonly Buffer[] {
  return fields(message).flatMap((field) =>
    field.number === number && field.bytes !== undefined ? [field.bytes] : [],
  );
}

/** The message itself, once it is known to end where it should. */
function whole(message: Buffer): Buffer {
  fields(message);
  return message;
}

function lastBytes(message: Buffer, number: number): Buffer {
  return parts(message, number).at(-1) ?? Buffer.alloc(0);
}

function lastText(message: Buffer, number: number): string {
  return utf8(lastBytes(message, number));
}

function utf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new Unreadable('no UTF-8');
  return bytes.toString('utf8');
}

function fields(message: Buffer): readonly Field[] {
  const found: Field[] = [];
  for (let at = 0; at < message.length; ) {
    const [field, next] = fieldAt(message, at);
    found.push(field);
    at = next;
  }
  return found;
}

function fieldAt(message: Buffer, start: number): readonly [field: Field, next: number] {
  const [tag, at] = varintAt(message, start);
  const number = tag >>> 3;
  const wire = tag & 7;
  if (number === 0) throw new Unreadable('field 0');
  const until = (end: number): number => {
    if (end > message.length) throw new Unreadable('cut');
    return end;
  };
  switch (wire) {
    case 0:
      return [{ number, wire }, varintAt(message, at)[1]];
    case 1:
      return [{ number, wire }, until(at + 8)];
    case 2: {
      const [length, begin] = varintAt(message, at);
      return [{ number, wire, bytes: message.subarray(begin, until(begin + length)) }, begin + length];
    }
    case 3: {
      // A group, which nobody sends any more: up to its end.
      let next = at;
      for (;;) {
        const [inner, after] = varintAt(message, next);
        if ((inner & 7) === 4) return [{ number, wire }, after];
        [, next] = fieldAt(message, next);
      }
    }
    case 5:
      return [{ number, wire }, until(at + 4)];
    default:
      throw new Unreadable('wire type');
  }
}

/** The low 32 bits: of a length or a tag the others are nothing. */
function varintAt(message: Buffer, start: number): readonly [value: number, next: number] {
  let value = 0;
  for (let at = start; at < start + 10; at += 1) {
    const byte = message[at];
    if (byte === undefined) throw new Unreadable('cut');
    const shift = 7 * (at - start);
    if (shift < 32) value = (value | ((byte & 0x7f) << shift)) >>> 0;
    if (byte < 0x80) return [value, at + 1];
  }
  throw new Unreadable('a long varint');
}
