import { createMemoryStore } from './memory-store.ts';
import { describeDocumentStore } from './document-store-contract.ts';

const stores = new Map<string, ReturnType<typeof createMemoryStore>>();

// The fake that the pure suites stand on is held to what the real stores are held to.
describeDocumentStore('the store in memory', async (folder) => {
  const store = stores.get(folder) ?? createMemoryStore();
  stores.set(folder, store);
  return store;
});
