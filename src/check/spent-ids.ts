import { randomInt } from 'node:crypto';

/**
 * Which requests were let pass from what, by their ids: as numbers in one piece of memory, so that a busy process leaves
 * nothing for the garbage collector to follow. An id is known by 64 bits of a hash with a seed that no other process has.
 */
export interface SpentIds<Source extends object> {
  /** Requests remembered. */
  readonly size: () => number;
  readonly add: (id: string, source: Source) => void;
  readonly find: (id: string) => Source | undefined;
  readonly clear: () => void;
}

/** Of an entry: two halves of the hash, and the number of the source, counted from 1; 0 where the place is free. */
const wordsPerEntry = 3;

/** Room for `max` requests; further ones are not remembered. Takes 24 to 48 bytes for each, from the first one on. */
export function createSpentIds<Source extends object>(max: number): SpentIds<Source> {
  const hash = createHash64();
  // A power of two, half of it free: a search ends after two or three steps.
  const places = 2 ** Math.ceil(Math.log2(2 * max));
  let words = new Int32Array(0);
  let size = 0;
  let sources: Source[] = [];
  let numbers = new Map<Source, number>();

  function numberOf(source: Source): number {
    let number = numbers.get(source);
    if (number === undefined) {
      number = sources.push(source);
      numbers.set(source, number);
    }
    return number;
  }

  /** Where the entry of what was hashed last is, or would be. */
  function placeOf(): number {
    let at = (hash.low & (places - 1)) * wordsPerEntry;
    while (words[at + 2] !== 0 && (words[at] !== hash.low || words[at + 1] !== hash.high)) {
      at += wordsPerEntry;
      if (at === words.length) at = 0;
    }
    return at;
  }

  return {
    size: () => size,
    add(id, source) {
      if (size >= max) return;
      if (words.length === 0) words = new Int32Array(places * wordsPerEntry);
      hash.take(id);
      const at = placeOf();
      if (words[at + 2] === 0) size += 1;
      words[at] = hash.low;
      words[at + 1] = hash.high;
      words[at + 2] = numberOf(source);
    },
    find(id) {
      if (size === 0) return undefined;
      hash.take(id);
      const number = words[placeOf() + 2] ?? 0;
      return number === 0 ? undefined : sources[number - 1];
    },
    clear() {
      if (size === 0) return;
      words.fill(0);
      size = 0;
      sources = [];
      numbers = new Map();
    },
  };
}

interface Hash64 {
  low: number;
  high: number;
  readonly take: (text: string) => void;
}

/** Two lanes of multiplications by odd numbers, each mixed with the other at the end. Not for what somebody else chooses. */
function createHash64(): Hash64 {
  const [lowSeed, highSeed] = [randomInt(2 ** 32), randomInt(2 ** 32)];
  const hash: Hash64 = {
    low: 0,
    high: 0,
    take(text) {
      let low = lowSeed;
      let high = highSeed;
      for (let index = 0; index < text.length; index += 1) {
        const code = text.charCodeAt(index);
        low = Math.imul(low ^ code, 0x9e3779b1);
        high = Math.imul(high ^ code, 0x85ebca77);
        // What a multiplication moves up comes down again, or the low bits would never hear of the high ones.
        low ^= low >>> 15;
        high ^= high >>> 13;
      }
      hash.low = Math.imul(low ^ (high >>> 16), 0xc2b2ae3d) | 0;
      hash.high = Math.imul(high ^ (low >>> 16), 0x27d4eb2f) | 0;
    },
  };
  return hash;
}
