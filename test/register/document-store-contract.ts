import { describe, expect, test } from 'vitest';
import { type DocumentStore, formatDocument, parseDocument } from '../../src/register/document-store.ts';

/** Opens a folder, empty at first; two calls with one name give two clients of one folder. */
export type OpenStore = (folder: string) => Promise<DocumentStore>;

export interface StoreTraits {
  /** Whether a write that comes too late is refused even when both are under way at once. Default true. */
  readonly checksAndSets?: boolean;
}

const signal = new AbortController().signal;
const keys = ['plain', 'cluster-1-1Org2X-redhat-sso-auth.example.com', 'Upper.lower_%', 'blank and ü'];
let serial = 0;

/** What the registrar counts on from a secret store, said once and run against every one. */
export function describeDocumentStore(name: string, open: OpenStore, traits: StoreTraits = {}): void {
  const openFresh = async (): Promise<DocumentStore & { readonly folder: string }> => {
    serial += 1;
    const folder = `contract-${process.pid}-${serial}`;
    return { ...(await open(folder)), folder };
  };

  describe(`${name}, as a store of documents`, () => {
    test('reads back what was written, whatever the key', async () => {
      const store = await openFresh();
      const document = { text: 'a "quoted" ü', list: ['b', 'a'], nested: { empty: {}, number: 1, none: '' } };
      for (const key of keys) {
        expect(await store.read(key, signal)).toBeUndefined();
        expect(await store.write(key, formatDocument({ ...document, key }), undefined, signal)).toBeDefined();
      }
      for (const key of keys) {
        const stored = await store.read(key, signal);
        expect(stored && parseDocument(stored.content)).toEqual({ ...document, key });
      }
      expect([...(await store.list(signal))].sort()).toEqual([...keys].sort());
    });

    test('lists nothing where nothing is, and nothing of another folder', async () => {
      const store = await openFresh();
      expect(await store.list(signal)).toEqual([]);
      const inner = await open(`${store.folder}/inner`);
      await inner.write('x', formatDocument({ a: 1 }), undefined, signal);
      expect(await store.list(signal)).toEqual([]);
      expect(await inner.list(signal)).toEqual(['x']);
    });

    test('removes a document for good: not to be read, not in the listing, free to be made anew', async () => {
      const store = await openFresh();
      await store.write('x', formatDocument({ a: 1 }), undefined, signal);
      await store.remove('x', signal);
      await store.remove('x', signal);
      expect(await store.read('x', signal)).toBeUndefined();
      expect(await store.list(signal)).toEqual([]);
      expect(await store.write('x', formatDocument({ a: 2 }), undefined, signal)).toBeDefined();
    });

    test('makes a document only where there is none', async () => {
      const store = await openFresh();
      await store.write('x', formatDocument({ a: 1 }), undefined, signal);
      expect(await store.write('x', formatDocument({ a: 2 }), undefined, signal)).toBeUndefined();
      const stored = await store.read('x', signal);
      expect(stored && parseDocument(stored.content)).toEqual({ a: 1 });
    });

    test('refuses a writer who has not seen the last version, who then reads again and succeeds', async () => {
      const store = await openFresh();
      const first = await store.write('x', formatDocument({ a: 1 }), undefined, signal);
      const second = await store.write('x', formatDocument({ a: 2 }), first, signal);
      expect(second).toBeDefined();
      expect(await store.write('x', formatDocument({ a: 3 }), first, signal)).toBeUndefined();
      const stored = await store.read('x', signal);
      expect(stored && parseDocument(stored.content)).toEqual({ a: 2 });
      expect(stored?.version).toBe(second);
      expect(await store.write('x', formatDocument({ a: 3 }), stored?.version, signal)).toBeDefined();
    });

    test('refuses to change a document that was removed meanwhile', async () => {
      const store = await openFresh();
      const first = await store.write('x', formatDocument({ a: 1 }), undefined, signal);
      await store.remove('x', signal);
      expect(await store.write('x', formatDocument({ a: 2 }), first, signal)).toBeUndefined();
    });

    if (traits.checksAndSets === false) return;

    test('lets exactly one of many writers at once through', async () => {
      const store = await openFresh();
      const first = await store.write('x', formatDocument({ a: 0 }), undefined, signal);
      for (const expected of [undefined, first]) {
        const key = expected === undefined ? 'y' : 'x';
        const writers = await Promise.all(Array.from({ length: 8 }, async () => open(store.folder)));
        const results = await Promise.all(
          writers.map((writer, index) =>
            writer.write(key, formatDocument({ a: index + 1 }), expected, signal),
          ),
        );
        expect(results.filter((version) => version !== undefined)).toHaveLength(1);
      }
    });
  });
}
