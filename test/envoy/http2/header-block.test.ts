import { describe, expect, it } from 'vitest';
import { createReadHeaderBlock, HeaderBlockFault } from '../../../src/envoy/http2/header-block.ts';
import { integer } from './frames.ts';
import { huffmanBits, packBits } from './huffman-codes.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

/** One side of a connection: blocks in hexadecimal or bytes, in order. */
function createReader(maxListBytes = 16_384) {
  const read = createReadHeaderBlock(maxListBytes);
  const list = (block: Buffer | string) => {
    const bytes = typeof block === 'string' ? hex(block) : block;
    // Somewhere in a larger read, as frames lie.
    return read(Buffer.concat([Buffer.of(0x82), bytes, Buffer.of(0x82)]), 1, 1 + bytes.length);
  };
  return {
    list,
    fields: (block: Buffer | string) => list(block).fields.map(({ name, value }) => `${name}: ${value}`),
  };
}

const text = (bytes: Buffer, isHuffman = false) =>
  Buffer.concat([integer(bytes.length, 7, isHuffman ? 0x80 : 0), bytes]);
const huffmanValue = (bytes: Buffer) =>
  Buffer.concat([Buffer.of(0), text(Buffer.from('x')), text(bytes, true)]);
const fails = (block: Buffer | string) => () => createReader().fields(block);

describe('RFC 7541 appendix C.2', () => {
  it.each([
    [
      'C.2.1',
      '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      'custom-key: custom-header',
    ],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', ':path: /sample/path'],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', 'password: secret'],
    ['C.2.4', '82', ':method: GET'],
  ])('%s', (_section, block, field) => {
    expect(createReader().fields(block)).toEqual([field]);
  });

  it('keeps only the field of C.2.1 for later blocks', () => {
    const { fields } = createReader();
    fields('040c 2f73 616d 706c 652f 7061 7468 1008 7061 7373 776f 7264 0673 6563 7265 74 82');
    expect(() => fields('be')).toThrow(HeaderBlockFault);
    const another = createReader();
    another.fields('400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572');
    expect(another.fields('be')).toEqual(['custom-key: custom-header']);
    expect(() => another.fields('bf')).toThrow(HeaderBlockFault);
  });
});

const get = (scheme: string, path: string) => [':method: GET', `:scheme: ${scheme}`, `:path: ${path}`];
const requests = [
  [...get('http', '/'), ':authority: www.example.com'],
  [...get('http', '/'), ':authority: www.example.com', 'cache-control: no-cache'],
  [...get('https', '/index.html'), ':authority: www.example.com', 'custom-key: custom-value'],
];
const date = (second: number) => `date: Mon, 21 Oct 2013 20:13:${second} GMT`;
const location = 'location: https://www.example.com';
const cookie = 'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const answers = [
  [':status: 302', 'cache-control: private', date(21), location],
  [':status: 307', 'cache-control: private', date(21), location],
  [':status: 200', 'cache-control: private', date(22), location, 'content-encoding: gzip', cookie],
];
/** A dynamic table size update to 256 bytes: what appendices C.5 and C.6 assume. */
const small = '3fe101';

describe.each([
  {
    section: 'C.3, without Huffman',
    blocks: [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
    lists: requests,
    table: ['custom-key: custom-value', 'cache-control: no-cache', ':authority: www.example.com'],
  },
  {
    section: 'C.4, with Huffman',
    blocks: [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
    lists: requests,
    table: ['custom-key: custom-value', 'cache-control: no-cache', ':authority: www.example.com'],
  },
  {
    section: 'C.5, where a small table evicts',
    blocks: [
      `${small} 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
       3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      '4803 3330 37c1 c0bf',
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
       6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
       2076 6572 7369 6f6e 3d31`,
    ],
    lists: answers,
    table: [cookie, 'content-encoding: gzip', date(22)],
  },
  {
    section: 'C.6, the same with Huffman',
    blocks: [
      `${small} 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
       1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
      '4883 640e ffc1 c0bf',
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
       dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
    ],
    lists: answers,
    table: [cookie, 'content-encoding: gzip', date(22)],
  },
])('RFC 7541 appendix $section', ({ blocks, lists, table }) => {
  it('reads the lists one after another, and holds at last what the table there shows', () => {
    const { fields } = createReader();
    expect(blocks.map(fields)).toEqual(lists);
    expect(table.map((_field, at) => fields(Buffer.of(0xbe + at))[0])).toEqual(table);
    expect(() => fields(Buffer.of(0xbe + table.length))).toThrow(HeaderBlockFault);
  });
});

describe('the table', () => {
  const add = (name: string, value: string) =>
    Buffer.concat([Buffer.of(0x40), text(Buffer.from(name)), text(Buffer.from(value))]);

  it('may be made smaller and larger again, up to 4096 bytes, at the beginning of a block', () => {
    const { fields } = createReader();
    fields(add('a', '1'));
    // To nothing and back: the field is gone.
    expect(fields('20 3fe11f 82')).toEqual([':method: GET']);
    expect(() => fields('be')).toThrow(HeaderBlockFault);
  });

  it('may not be made larger than that', () => {
    expect(fails('3fe21f 82')).toThrow(HeaderBlockFault);
    expect(fails('3fffffff7f 82')).toThrow(HeaderBlockFault);
  });

  it('may not be resized within a block', () => {
    expect(fails('82 20')).toThrow(HeaderBlockFault);
    expect(fails('82 3fe11f 82')).toThrow(HeaderBlockFault);
  });

  it('evicts the oldest until a new one fits, whatever came before', () => {
    const { fields } = createReader();
    // 38 bytes each: 107 of them fit into 4096.
    for (let at = 0; at < 1000; at += 1) fields(add('abc', String(at).padStart(3, '0')));
    const indexed = (index: number) => fields(integer(index, 7, 0x80));
    expect(indexed(62)).toEqual(['abc: 999']);
    expect(indexed(62 + 106)).toEqual(['abc: 893']);
    expect(() => indexed(62 + 107)).toThrow(HeaderBlockFault);
  });

  it('is emptied by a field that is larger than itself, which is read nevertheless', () => {
    const { fields } = createReader();
    fields(add('a', '1'));
    const long = 'x'.repeat(4096);
    expect(fields(add('b', long))).toEqual([`b: ${long}`]);
    expect(() => fields('be')).toThrow(HeaderBlockFault);
  });

  it('gives a name of an entry that the field itself drives out', () => {
    const { fields } = createReader();
    fields(Buffer.concat([hex('3f09'), add('kept', '1')]));
    // Index 62 as the name: it is read before there is room for the field (section 4.4).
    expect(fields(Buffer.concat([Buffer.of(0x7e), text(Buffer.from('2'))]))).toEqual(['kept: 2']);
    expect(fields('be')).toEqual(['kept: 2']);
    expect(() => fields('bf')).toThrow(HeaderBlockFault);
  });

  it('knows neither an index of zero nor one beyond its end', () => {
    for (const block of ['80', 'be', 'ff00', 'ff80808001', '7f00 0161', '0f40 0161'])
      expect(fails(block)).toThrow(HeaderBlockFault);
  });
});

describe('integers', () => {
  it('go on in further bytes (C.1.2), also with zeros at the end', () => {
    const { fields } = createReader(1e9);
    const value = Buffer.alloc(1337, 'v');
    // 1337 with a prefix of seven bits, and the same with two bytes that add nothing.
    for (const length of ['7fba09', '7fba898000']) {
      expect(fields(Buffer.concat([hex(`00 0161 ${length}`), value]))).toEqual([`a: ${value.toString()}`]);
    }
  });

  it('have as many bits in the first byte as the representation leaves (C.1.2 with five)', () => {
    const { fields } = createReader();
    // A table of 1337 bytes has room for one field of 1 + 1304 + 32, and for none that is longer.
    fields(Buffer.concat([hex('3f9a0a 400161'), text(Buffer.alloc(1304, 'v'))]));
    expect(fields('be')).toHaveLength(1);
    fields(Buffer.concat([hex('400161'), text(Buffer.alloc(1305, 'v'))]));
    expect(() => fields('be')).toThrow(HeaderBlockFault);
  });

  it('are refused where they are too large, or never end', () => {
    for (const block of [
      'ffffffffff7f',
      'ff80808080808080808001',
      'ff8080808080',
      '3fffffffffffff',
      '007fffffff7f',
    ])
      expect(fails(block)).toThrow(HeaderBlockFault);
  });

  it('are refused where the block ends within them', () => {
    for (const block of ['ff', 'ff80', '3f', '7f', '0f', '007f', '00'])
      expect(fails(block)).toThrow(HeaderBlockFault);
  });
});

describe('texts', () => {
  it('are refused where they are longer than the block', () => {
    for (const block of ['0001', '00016102', '000161', '4003616263', '0081'])
      expect(fails(block)).toThrow(HeaderBlockFault);
  });

  it('are read byte by byte from their Huffman code, for every byte there is', () => {
    const { list } = createReader();
    for (let byte = 0; byte < 256; byte += 1) {
      const bytes = Buffer.of(byte);
      const [field] = list(huffmanValue(packBits(huffmanBits(bytes)))).fields;
      expect(field?.value).toBe(bytes.toString('latin1'));
    }
  });

  it('are read from the Huffman code of many bytes', () => {
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_none, at) => (at * 167 + (at >> 8)) % 256));
    const [field] = createReader().list(huffmanValue(packBits(huffmanBits(bytes)))).fields;
    expect(field?.value).toBe(bytes.toString('latin1'));
  });

  it('may be empty in either coding', () => {
    expect(createReader().fields('000161 00')).toEqual(['a: ']);
    expect(createReader().fields('000161 80')).toEqual(['a: ']);
  });

  it.each([
    ['a padding of a byte', packBits(huffmanBits(Buffer.from('www')).padEnd(32, '1'))],
    ['a whole byte of padding and nothing else', Buffer.of(0xff)],
    ['a padding that is not ones', packBits(huffmanBits(Buffer.from('a')), '0')],
    ['the end of string', packBits('1'.repeat(30))],
    ['the end of string behind something', packBits(huffmanBits(Buffer.from('ab')) + '1'.repeat(30))],
    ['the end of string before something', packBits('1'.repeat(30) + huffmanBits(Buffer.from('a')))],
    ['a code that breaks off', packBits(huffmanBits(Buffer.of(0)).slice(0, 8))],
  ])('are refused with %s', (_what, coded) => {
    expect(fails(huffmanValue(coded))).toThrow(HeaderBlockFault);
  });

  it('may be padded by up to seven ones', () => {
    const lengths = new Set<number>();
    for (const letters of ['a', 'aa', 'aaa', 'aaaa', 'aaaaa', 'b', 'bb', 'bbb', 'aaabb', 'aab']) {
      const bits = huffmanBits(Buffer.from(letters));
      lengths.add((8 - (bits.length % 8)) % 8);
      expect(createReader().fields(huffmanValue(packBits(bits)))).toEqual([`x: ${letters}`]);
    }
    expect(lengths).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7]));
  });
});

describe('a list that is too long', () => {
  it('says so, keeps what fits, and still learns what later blocks refer to', () => {
    const { list, fields } = createReader(100);
    const first = list(Buffer.concat([hex('82'), hex('4001 61'), text(Buffer.alloc(200, 'v')), hex('84')]));
    expect(first.isTooLong).toBe(true);
    expect(first.fields.map(({ name }) => name)).toEqual([':method']);
    expect(list('82').isTooLong).toBe(false);
    list('be');
    expect(fields('4001620163 82')).toEqual(['b: c', ':method: GET']);
    expect(fields('be')).toEqual(['b: c']);
  });

  it('is not held, however often a block refers to a long field', () => {
    const { list } = createReader();
    list(Buffer.concat([hex('4001 61'), text(Buffer.alloc(4000, 'v'))]));
    const bomb = list(Buffer.alloc(60_000, 0xbe));
    expect(bomb.isTooLong).toBe(true);
    expect(bomb.fields).toHaveLength(4);
  });
});
