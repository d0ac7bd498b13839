import { DependencyError } from '../../src/dependency-error.ts';
import type { DocumentStore } from '../../src/register/document-store.ts';
import { createSecret } from '../../src/secret.ts';

export interface MemoryStore extends DocumentStore {
  /** Parsed documents by key, for assertions. */
  readonly documents: () => Readonly<Record<string, Record<string, unknown>>>;
  /** Puts a document there as somebody else would. */
  readonly put: (key: string, document: unknown) => void;
  readonly drop: (key: string) => void;
  readonly writes: () => number;
  /** While set, every call fails with it. */
  readonly setFault: (fault: DependencyError | undefined) => void;
  /** From now on writes have no effect and throw. */
  readonly refuseWrites: (fault: DependencyError) => void;
  /** From now on writes have their effect and throw. */
  readonly loseAnswers: (fault: DependencyError) => void;
}

/** A secret store in memory: versions, check-and-set, nothing else. */
export function createMemoryStore(): MemoryStore {
  const contents = new Map<string, { text: string; version: number }>();
  let clock = 0;
  let writes = 0;
  let fault: DependencyError | undefined;
  let refusal: DependencyError | undefined;
  let loss: DependencyError | undefined;
  const answer = async (): Promise<void> => {
    if (fault !== undefined) throw fault;
  };

  return {
    list: async () => {
      await answer();
      return [...contents.keys()];
    },
    read: async (key) => {
      await answer();
      const found = contents.get(key);
      return found && { content: createSecret(found.text), version: String(found.version) };
    },
    write: async (key, content, expected) => {
      await answer();
      if (refusal !== undefined) throw refusal;
      const found = contents.get(key);
      if ((found && String(found.version)) !== expected) return undefined;
      writes += 1;
      clock += 1;
      contents.set(key, { text: content.reveal(), version: clock });
      if (loss !== undefined) throw loss;
      return String(clock);
    },
    remove: async (key) => {
      await answer();
      writes += 1;
      contents.delete(key);
    },
    documents: () => Object.fromEntries([...contents].map(([key, { text }]) => [key, JSON.parse(text)])),
    put: (key, document) => {
      clock += 1;
      contents.set(key, { text: JSON.stringify(document), version: clock });
    },
    drop: (key) => void contents.delete(key),
    writes: () => writes,
    setFault: (next) => {
      fault = next;
    },
    refuseWrites: (next) => {
      refusal = next;
    },
    loseAnswers: (next) => {
      loss = next;
    },
  };
}

export const storeIsDown = new DependencyError('vault', 'unreachable');
