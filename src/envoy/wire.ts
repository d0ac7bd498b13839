import { isUtf8 } from 'node:buffer';
import protobuf from 'protobufjs/minimal.js';

/** A protobuf message that is being read. What is wrong with it is thrown as an Error, whichever. */
export interface Wire {
  readonly bytes: Buffer;
  /** Its `len` is the end of the innermost message, so that no length inside can point beyond it. */
  readonly reader: protobuf.Reader;
  /** Entries of maps and lists so far. */
  entries: number;
}

export function createReader(bytes: Buffer): protobuf.Reader {
  return protobuf.Reader.create(bytes);
}

/**
 * Headers, context extensions and metadata fields in one message, at most: Envoy itself lets 100 headers of a
 * client through unless told otherwise. A bound, so that no message makes a huge answer.
 */
const maxEntries = 4096;

const mostVarintBytes = 10;

/** Tag of a field that has a length: text, bytes, messages (protobuf encoding, wire type 2). */
export const lengthDelimited = 2;

/**
 * Reads the field with this number, which has a length, and tells whether it did; false leaves it to be stepped
 * over.
 */
export type ReadField<State extends Wire> = (state: State, field: number) => boolean;

/** All fields up to the end of the message. */
export function readFields<State extends Wire>(state: State, readField: ReadField<State>): void {
  const { reader } = state;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if ((tag & 7) === lengthDelimited && readField(state, tag >>> 3)) continue;
    skip(state, tag);
  }
}

/** A message that is the value of a field. Returns true, so that a ReadField can end with it. */
export function readMessage<State extends Wire>(state: State, readField: ReadField<State>): true {
  const outerEnd = enter(state);
  readFields(state, readField);
  leave(state, outerEnd);
  return true;
}

/** Narrows the wire to the message that begins here; returns what `leave` needs to widen it again. */
export function enter({ reader }: Wire): number {
  const outerEnd = reader.len;
  const length = reader.uint32();
  reader.len = endOf(reader, length);
  return outerEnd;
}

/** The same for an entry of a map or list, of which there may not be any number. */
export function enterEntry(wire: Wire): number {
  wire.entries += 1;
  if (wire.entries > maxEntries) throw new RangeError(`more than ${maxEntries} entries`);
  return enter(wire);
}

export function leave({ reader }: Wire, outerEnd: number): void {
  reader.pos = reader.len;
  reader.len = outerEnd;
}

/** Steps over the value of a field that nobody reads. */
export function skip({ reader }: Wire, tag: number): void {
  if (tag >>> 3 === 0) throw new RangeError('field number 0');
  reader.skipType(tag & 7);
}

/** Where a value with a length ends, after stepping over it; it begins `end - length` before. */
export function skipRange({ reader }: Wire): number {
  const length = reader.uint32();
  reader.pos = endOf(reader, length);
  return length;
}

function endOf(reader: protobuf.Reader, length: number): number {
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('a length beyond the end of its message');
  return end;
}

/**
 * A proto3 `int64` as a number, exact below 2^53; every negative one is -1. Not the Reader's own, which makes an object that
 * only its text makes a number of.
 */
export function readInt64({ bytes, reader }: Wire): number {
  let value = 0;
  let scale = 1;
  for (let read = 0; read < mostVarintBytes && reader.pos < reader.len; read += 1) {
    const byte = bytes[reader.pos] as number;
    reader.pos += 1;
    value += (byte & 0x7f) * scale;
    // Two's complement in ten bytes.
    if (byte < 0x80) return value < 2 ** 63 ? value : -1;
    scale *= 0x80;
  }
  throw new RangeError('a number without an end');
}

/** A proto3 `string`. Not the Reader's own, which cuts one that is too long and puts up with bytes that are no text. */
export function readText(wire: Wire): string {
  const length = skipRange(wire);
  return textAt(wire.bytes, wire.reader.pos - length, wire.reader.pos);
}

export function textAt(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  if (text.includes('\u{fffd}') && !isUtf8(bytes.subarray(start, end))) {
    throw new RangeError('text that is not UTF-8');
  }
  return text;
}
