export interface EntryQueueOptions<Entry> {
  /** Takes one entry; a promise holds one of the places in `concurrency` until it is settled. */
  readonly receive: (entry: Entry) => void | Promise<void>;
  /** Entries that wait, at most; a further one is dropped. */
  readonly maxQueued: number;
  /** Entries that are being received at once, at most. */
  readonly concurrency: number;
  /** An entry is lost: it found the queue full. Must not throw. */
  readonly onDropped: () => void;
  /** What `receive` threw or rejected with; its entry is lost. Must not throw. */
  readonly onError: (error: unknown) => void;
}

export interface EntryQueue<Entry> {
  readonly offer: (entry: Entry) => void;
  /** True from half full until a quarter: whoever brings entries should bring no more. */
  readonly isCrowded: () => boolean;
  /** Called when it is crowded no more. */
  readonly onRoom: (listener: () => void) => void;
  readonly size: () => number;
  /** Resolves when nothing waits and nothing is being received. */
  readonly whenIdle: () => Promise<void>;
}

/** What is received without a promise, before others get their turn. */
const atOnce = 256;

/** First in, first out, bounded; says when it is time to stop bringing. */
export function createEntryQueue<Entry>(options: EntryQueueOptions<Entry>): EntryQueue<Entry> {
  const { receive, maxQueued, concurrency, onDropped, onError } = options;
  let waiting: Entry[] = [];
  let next = 0;
  let receiving = 0;
  let isScheduled = false;
  let isCrowded = false;
  const roomListeners: (() => void)[] = [];
  let idleListeners: (() => void)[] = [];

  const size = () => waiting.length - next;

  function receiveOne(entry: Entry): void {
    try {
      const received = receive(entry);
      if (!(received instanceof Promise)) return;
      receiving += 1;
      received.catch(onError).finally(() => {
        receiving -= 1;
        pump();
      });
    } catch (error) {
      onError(error);
    }
  }

  function pump(): void {
    for (let count = 0; count < atOnce && receiving < concurrency; count += 1) {
      const entry = waiting[next];
      if (next >= waiting.length || entry === undefined) break;
      next += 1;
      receiveOne(entry);
    }
    if (next === waiting.length || next > maxQueued) {
      waiting = waiting.slice(next);
      next = 0;
    }
    if (size() > 0 && receiving < concurrency) schedule();
    if (isCrowded && size() <= maxQueued / 4) {
      isCrowded = false;
      for (const listener of roomListeners) listener();
    }
    if (size() === 0 && receiving === 0) {
      for (const listener of idleListeners) listener();
      idleListeners = [];
    }
  }

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(() => {
      isScheduled = false;
      pump();
    });
  }

  return {
    offer(entry) {
      if (size() >= maxQueued) {
        onDropped();
        return;
      }
      waiting.push(entry);
      if (size() >= maxQueued / 2) isCrowded = true;
      schedule();
    },
    isCrowded: () => isCrowded,
    onRoom: (listener) => void roomListeners.push(listener),
    size,
    whenIdle: () =>
      size() === 0 && receiving === 0
        ? Promise.resolve()
        : new Promise((resolve) => void idleListeners.push(resolve)),
  };
}
