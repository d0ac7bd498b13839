/** Protobuf by hand, for messages that no encoder would make. */

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A field with a length: text, bytes, or the fields of a message. */
export function field(number: number, ...content: readonly (string | Uint8Array)[]): Buffer {
  const bytes = Buffer.concat(content.map((part) => Buffer.from(part as string)));
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** A CheckRequest whose HTTP request holds these fields. */
export function httpMessage(...fields: readonly Uint8Array[]): Buffer {
  return attributesMessage(field(4, field(2, ...fields)));
}

/** A CheckRequest whose attributes hold these fields. */
export function attributesMessage(...fields: readonly Uint8Array[]): Buffer {
  return field(1, ...fields);
}
