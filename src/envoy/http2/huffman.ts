/**
 * The Huffman code of HPACK (RFC 7541 appendix B). It is canonical: codes of one length count up in the order of the symbols,
 * and the first of a length follows the last of the length before it. So the lengths say it all.
 */
const codeLengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const endOfString = 256;
const longestCode = 30;
/** Padding is the beginning of the code of the end, which is all ones, and less than a byte (section 5.2). */
const mostPaddingBits = 7;

/**
 * A binary tree in an array: the children of the node at `n` stand at `2n` and `2n + 1`. Positive: another node; negative:
 * a symbol, as -1 - symbol.
 */
const tree = buildTree();

/** Undefined where it is no Huffman code, or is padded wrongly. */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  // No code is shorter than five bits.
  const text = Buffer.allocUnsafe(Math.floor(((end - start) * 8) / 5));
  let length = 0;
  let node = 0;
  let bitsSinceSymbol = 0;
  let areOnes = true;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] as number;
    for (let shift = 7; shift >= 0; shift -= 1) {
      const bit = (byte >> shift) & 1;
      const next = tree[2 * node + bit] as number;
      bitsSinceSymbol += 1;
      areOnes &&= bit === 1;
      if (next >= 0) {
        node = next;
        continue;
      }
      const symbol = -1 - next;
      if (symbol === endOfString) return undefined;
      text[length] = symbol;
      length += 1;
      node = 0;
      bitsSinceSymbol = 0;
      areOnes = true;
    }
  }
  return bitsSinceSymbol <= mostPaddingBits && areOnes ? text.toString('latin1', 0, length) : undefined;
}

function buildTree(): Int16Array {
  const nodes = new Int16Array(2 * codeLengths.length);
  let used = 1;
  let code = 0;
  for (let length = 1; length <= longestCode; length += 1) {
    code *= 2;
    for (const [symbol, of] of codeLengths.entries()) {
      if (of !== length) continue;
      let node = 0;
      for (let shift = length - 1; shift > 0; shift -= 1) {
        const child = 2 * node + ((code >>> shift) & 1);
        if (nodes[child] === 0) {
          nodes[child] = used;
          used += 1;
        }
        node = nodes[child] as number;
      }
      nodes[2 * node + (code & 1)] = -1 - symbol;
      code += 1;
    }
  }
  return nodes;
}
