/** Bytes of something that comes in pieces: copied, so that a piece of one byte costs one byte. */
export interface KeptBytes {
  readonly add: (bytes: Buffer, start: number, end: number) => void;
  readonly length: () => number;
  /** All of them; nothing is kept any more. */
  readonly take: () => Buffer;
}

const leastBytes = 256;

export function createKeptBytes(): KeptBytes {
  let kept = nothing;
  let length = 0;
  return {
    add(bytes, start, end) {
      const needed = length + end - start;
      if (needed > kept.length) {
        // Twice as much each time, so that each byte is copied twice at most, however small the pieces are.
        const wider = Buffer.allocUnsafeSlow(Math.max(needed, 2 * kept.length, leastBytes));
        kept.copy(wider, 0, 0, length);
        kept = wider;
      }
      bytes.copy(kept, length, start, end);
      length = needed;
    },
    length: () => length,
    take() {
      const all = kept.subarray(0, length);
      kept = nothing;
      length = 0;
      return all;
    },
  };
}

const nothing = Buffer.alloc(0);
