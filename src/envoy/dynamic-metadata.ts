import protobuf from 'protobufjs/minimal.js';
import type { WindowState } from '../check/limit.ts';
import type { Allowed, Outcome, Refused } from '../check/outcome.ts';
import { windowName } from '../check/rate-limit-headers.ts';
import type { WindowLimit } from '../policy/policy.ts';
import { fieldLength, writeBytes, writeField } from './answer-bytes.ts';

/*
 * Outcome → google.protobuf.Struct for Envoy's access log, rate limit descriptors and later filters, on denials
 * too: `user`, `tier`, `model` and `reason` where known, `slot_id` of a request that has a slot, `reservation_id`
 * and `reserved_tokens` of one that has tokens reserved, and `limits`, one struct for each window, shadow ones
 * included: `name, unit, limit, window_seconds, mode, remaining, reset_seconds, exceeded`. In parts, that make the
 * Struct one behind the other in any order.
 */

const none = new Uint8Array(0);
const userKey = Buffer.from('user');

/** `user`, straight into its bytes: it is another in nearly every answer. */
export function encodeUser({ subject }: Outcome): Uint8Array {
  if (!subject) return none;
  const valueLength = Buffer.byteLength(subject);
  const entryLength = fieldLength(userKey.length) + fieldLength(fieldLength(valueLength));
  const bytes = Buffer.allocUnsafe(fieldLength(entryLength));
  let at = writeField(bytes, 0, tag.entry, entryLength);
  at = writeField(bytes, at, tag.entryKey, userKey.length);
  at = writeBytes(bytes, at, userKey);
  at = writeField(bytes, at, tag.entryValue, fieldLength(valueLength));
  at = writeField(bytes, at, tag.stringValue, valueLength);
  // In UTF-8, where Node has a form for half a surrogate pair too.
  bytes.write(subject, at);
  return bytes;
}

/** `tier` and `model`. */
export function encodeTier({ tier, model }: Outcome): Uint8Array {
  const writer = protobuf.Writer.create();
  if (tier) writeTextField(writer, 'tier', tier);
  if (model !== undefined) writeTextField(writer, 'model', model.id);
  return writer.finish();
}

export function encodeReason({ reason }: Refused): Uint8Array {
  const writer = protobuf.Writer.create();
  writeTextField(writer, 'reason', reason);
  return writer.finish();
}

/** `slot_id`, `reservation_id` and `reserved_tokens`. */
export function encodeHeld({ slotId, reservation }: Allowed): Uint8Array {
  if (slotId === undefined && reservation === undefined) return none;
  const writer = protobuf.Writer.create();
  if (slotId !== undefined) writeTextField(writer, 'slot_id', slotId);
  if (reservation !== undefined) {
    writeTextField(writer, 'reservation_id', reservation.id);
    writeNumberField(writer, 'reserved_tokens', reservation.tokens);
  }
  return writer.finish();
}

/** `limits`, over what {@link limitsTemplate} gave for the same windows. */
export function writeLimits(
  bytes: Buffer,
  start: number,
  template: LimitsTemplate,
  windows: readonly WindowState[],
): void {
  bytes.set(template.bytes, start);
  let at = 0;
  for (const { remaining, resetAfterMs, exceeded } of windows) {
    const end = start + (template.ends[at] ?? 0);
    bytes.writeDoubleLE(Math.max(0, remaining), end - fromEnd.remaining);
    bytes.writeDoubleLE(Math.max(0, resetAfterMs) / 1000, end - fromEnd.resetSeconds);
    bytes[end - fromEnd.exceeded] = exceeded ? 1 : 0;
    at += 1;
  }
}

/** Tags of google.protobuf.Struct and Value (google/protobuf/struct.proto): field number * 8 + wire type. */
const tag = {
  entry: 0x0a,
  entryKey: 0x0a,
  entryValue: 0x12,
  numberValue: 0x11,
  stringValue: 0x1a,
  boolValue: 0x20,
  structValue: 0x2a,
  listValue: 0x32,
  listItem: 0x0a,
} as const;

function writeTextField(writer: protobuf.Writer, key: string, text: string): void {
  writer.uint32(tag.entry).fork().uint32(tag.entryKey).string(key);
  writer.uint32(tag.entryValue).fork().uint32(tag.stringValue).string(text).ldelim().ldelim();
}

function writeNumberField(writer: protobuf.Writer, key: string, number: number): void {
  writer.uint32(tag.entry).fork().uint32(tag.entryKey).string(key);
  writer.uint32(tag.entryValue).fork().uint32(tag.numberValue).double(number).ldelim().ldelim();
}

function writeBoolField(writer: protobuf.Writer, key: string, bool: boolean): void {
  writer.uint32(tag.entry).fork().uint32(tag.entryKey).string(key);
  writer.uint32(tag.entryValue).fork().uint32(tag.boolValue).bool(bool).ldelim().ldelim();
}

/**
 * The limits of a tier are the same for every request but for two numbers and a flag of each window, all of fixed size: they
 * are encoded once, and these are written over at their distance from the end of their window, where they were put last
 * for that.
 */
export interface LimitsTemplate {
  readonly windows: readonly WindowLimit[];
  readonly bytes: Uint8Array;
  /** Of each window. */
  readonly ends: readonly number[];
}

const templateByFirst = new WeakMap<WindowLimit, LimitsTemplate>();

/** Of `limits`; undefined where there are none. */
export function limitsTemplate(windows: readonly WindowState[]): LimitsTemplate | undefined {
  const [first] = windows;
  if (first === undefined) return undefined;
  let template = templateByFirst.get(first.window);
  if (template === undefined || !isOf(template, windows)) {
    template = encodeTemplate(windows.map(({ window }) => window));
    templateByFirst.set(first.window, template);
  }
  return template;
}

function isOf({ windows }: LimitsTemplate, states: readonly WindowState[]): boolean {
  return states.length === windows.length && states.every(({ window }, at) => window === windows[at]);
}

function encodeTemplate(windows: readonly WindowLimit[]): LimitsTemplate {
  const values = windows.map(encodeWindow);
  const writer = protobuf.Writer.create();
  writer.uint32(tag.entry).fork().uint32(tag.entryKey).string('limits');
  writer.uint32(tag.entryValue).fork().uint32(tag.listValue).fork();
  for (const value of values) writer.uint32(tag.listItem).bytes(value);
  const bytes = writer.ldelim().ldelim().ldelim().finish();
  // The list stands at the end of everything that it is in.
  const ends: number[] = [];
  let end = bytes.length;
  for (const value of values.toReversed()) {
    ends.unshift(end);
    end -= fieldLength(value.length);
  }
  return { windows, bytes, ends };
}

function encodeWindow(window: WindowLimit): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(tag.structValue).fork();
  writeTextField(writer, 'name', wellFormed(windowName(window)));
  writeTextField(writer, 'unit', window.unit);
  writeNumberField(writer, 'limit', window.limit);
  writeNumberField(writer, 'window_seconds', window.windowMs / 1000);
  writeTextField(writer, 'mode', window.mode);
  writeNumberField(writer, names.remaining, 0);
  writeNumberField(writer, names.resetSeconds, 0);
  writeBoolField(writer, names.exceeded, false);
  return writer.ldelim().finish();
}

const names = { remaining: 'remaining', resetSeconds: 'reset_seconds', exceeded: 'exceeded' } as const;

/** An entry: tag, length, tag, length, key, tag, length, tag, and the value: one byte of a bool, eight of a number. */
const boolEntryLength = 7 + names.exceeded.length + 1;
const numberEntryLength = (key: string) => 7 + key.length + 8;
const fromEnd = {
  exceeded: 1,
  resetSeconds: boolEntryLength + 8,
  remaining: boolEntryLength + numberEntryLength(names.resetSeconds) + 8,
} as const;

/** A protobuf string is UTF-8, which has no form for half a surrogate pair. */
function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? Buffer.from(text).toString() : text;
}
