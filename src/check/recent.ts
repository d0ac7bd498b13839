/** What was lately made of a key, so that it need not be made again. */
export interface Recent<Value> {
  readonly get: (key: string) => Value | undefined;
  readonly set: (key: string, value: Value) => void;
}

/**
 * A memory of a bounded size: at least `max` of the entries that were used last, at most twice as many. Two generations, of
 * which the older is dropped as a whole: cheaper than an LRU, whose every look-up moves something.
 */
export function createRecent<Value>(max: number): Recent<Value> {
  let younger = new Map<string, Value>();
  let older = new Map<string, Value>();

  function set(key: string, value: Value): void {
    if (younger.size >= max) {
      older = younger;
      younger = new Map();
    }
    younger.set(key, value);
  }

  return {
    get(key) {
      const found = younger.get(key);
      if (found !== undefined) return found;
      const before = older.get(key);
      if (before !== undefined) set(key, before);
      return before;
    },
    set,
  };
}
