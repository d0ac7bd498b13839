import { createField, createHeaderTable, type HeaderField, sizeOf } from './header-table.ts';
import { decodeHuffman } from './huffman.ts';

/** A block that can not be read: the tables of both sides may differ from here on, so that the connection is over. */
export class HeaderBlockFault extends Error {}

/**
 * Reads header blocks in the order in which they came (HPACK, RFC 7541). The array is used for the next block
 * again. Throws `HeaderBlockFault`.
 */
export type ReadHeaderBlock = (bytes: Buffer, start: number, end: number) => HeaderList;

export interface HeaderList {
  readonly fields: HeaderField[];
  /** The list as a whole was longer than it may be; some are missing in `fields`. */
  isTooLong: boolean;
}

/** Five continuation bytes hold 35 bits; nothing here is that large. */
const mostInteger = 2 ** 28;

/** One for each connection. `maxListBytes` counts as SETTINGS_MAX_HEADER_LIST_SIZE does. */
export function createReadHeaderBlock(maxListBytes: number): ReadHeaderBlock {
  const table = createHeaderTable();
  const list: HeaderList = { fields: [], isTooLong: false };
  let bytes: Buffer = Buffer.alloc(0);
  let at = 0;
  let end = 0;
  let listBytes = 0;

  function read(): void {
    let mayResize = true;
    while (isMore()) {
      const first = bytes[at] as number;
      if (first >= 0x80) {
        keep(fieldAt(integer(0x7f)));
      } else if (first >= 0x40) {
        const field = literal(0x3f);
        table.add(field);
        keep(field);
      } else if (first >= 0x20) {
        if (!mayResize || !table.resize(integer(0x1f)))
          throw new HeaderBlockFault('a table size that may not be');
        continue;
      } else {
        // Never indexed (0x10) tells intermediaries something, and we are none.
        keep(literal(0x0f));
      }
      mayResize = false;
    }
  }

  function isMore(): boolean {
    return at < end;
  }

  function keep(field: HeaderField): void {
    listBytes += sizeOf(field);
    if (listBytes > maxListBytes) list.isTooLong = true;
    else list.fields.push(field);
  }

  function fieldAt(index: number): HeaderField {
    const field = index === 0 ? undefined : table.at(index);
    if (field === undefined) throw new HeaderBlockFault('an index without a field');
    return field;
  }

  function literal(prefix: number): HeaderField {
    const index = integer(prefix);
    const name = index === 0 ? text() : fieldAt(index).name;
    return createField(name, text());
  }

  /** Section 5.1; `prefix` are the bits of the first byte that are its own. */
  function integer(prefix: number): number {
    let value = nextByte() & prefix;
    if (value < prefix) return value;
    let scale = 1;
    for (;;) {
      const byte = nextByte();
      value += (byte & 0x7f) * scale;
      if (value > mostInteger || scale > mostInteger)
        throw new HeaderBlockFault('an integer that is too large');
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  function nextByte(): number {
    if (!isMore()) throw new HeaderBlockFault('it ends too early');
    const byte = bytes[at] as number;
    at += 1;
    return byte;
  }

  /** Section 5.2. */
  function text(): string {
    const isHuffman = isMore() && (bytes[at] as number) >= 0x80;
    const start = integer(0x7f);
    const from = at;
    if (start > end - from) throw new HeaderBlockFault('a text that is longer than its block');
    at = from + start;
    if (!isHuffman) return bytes.toString('latin1', from, at);
    const decoded = decodeHuffman(bytes, from, at);
    if (decoded === undefined) throw new HeaderBlockFault('no Huffman code');
    return decoded;
  }

  return (block, from, to) => {
    bytes = block;
    at = from;
    end = to;
    listBytes = 0;
    list.fields.length = 0;
    list.isTooLong = false;
    read();
    return list;
  };
}
