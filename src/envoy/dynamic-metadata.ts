import protobuf from 'protobufjs/minimal.js';
import type { WindowState } from '../check/limit.ts';
import type { Allowed, Outcome } from '../check/outcome.ts';
import { windowName } from '../check/rate-limit-headers.ts';
import type { WindowLimit } from '../policy/policy.ts';

/**
 * Outcome → google.protobuf.Struct for Envoy's access log, rate limit descriptors and later filters, on denials
 * too: `user`, `tier`, `model` and `reason` where known, `slot_id` of a request that has a slot, `reservation_id`
 * and `reserved_tokens` of one that has tokens reserved, and `limits`, one struct for each window, shadow ones
 * included: `name, unit, limit, window_seconds, mode, remaining, reset_seconds, exceeded`.
 */
export function encodeDynamicMetadata(outcome: Outcome): Uint8Array {
  const writer = protobuf.Writer.create();
  const { subject, tier, model, windows } = outcome;
  if (subject) writeTextField(writer, 'user', wellFormed(subject));
  if (tier) writeTextField(writer, 'tier', tier);
  if (model !== undefined) writeTextField(writer, 'model', model.id);
  if (outcome.denied) writeTextField(writer, 'reason', outcome.reason);
  else writeHeld(writer, outcome);
  if (windows !== undefined && windows.length > 0) {
    writer.uint32(tag.entry).fork().uint32(tag.entryKey).string('limits');
    writer.uint32(tag.entryValue).fork().uint32(tag.listValue).fork();
    for (const state of windows) writer.uint32(tag.listItem).bytes(encodeWindow(state));
    writer.ldelim().ldelim().ldelim();
  }
  return writer.finish();
}

function writeHeld(writer: protobuf.Writer, { slotId, reservation }: Allowed): void {
  if (slotId !== undefined) writeTextField(writer, 'slot_id', slotId);
  if (reservation === undefined) return;
  writeTextField(writer, 'reservation_id', reservation.id);
  writeNumberField(writer, 'reserved_tokens', reservation.tokens);
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
 * A window's Value is the same for every request but for two numbers and a flag, all of fixed size: it is encoded
 * once, and these are written over at their distance from its end, where they were put last for that.
 */
const templateByWindow = new WeakMap<WindowLimit, Buffer>();

function encodeWindow({ window, remaining, resetAfterMs, exceeded }: WindowState): Buffer {
  let template = templateByWindow.get(window);
  if (template === undefined) {
    template = encodeTemplate(window);
    templateByWindow.set(window, template);
  }
  const value = Buffer.from(template);
  const end = value.length;
  value.writeDoubleLE(Math.max(0, remaining), end - fromEnd.remaining);
  value.writeDoubleLE(Math.max(0, resetAfterMs) / 1000, end - fromEnd.resetSeconds);
  value[end - fromEnd.exceeded] = exceeded ? 1 : 0;
  return value;
}

function encodeTemplate(window: WindowLimit): Buffer {
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
  return Buffer.from(writer.ldelim().finish());
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
