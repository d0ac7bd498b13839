import { expect, test } from 'vitest';
import { createLedger } from '../../src/register/ledger.ts';
import { createMemoryStore } from './memory-store.ts';

const signal = new AbortController().signal;

test('counts an attempt once, however often it is added', async () => {
  const ledger = createLedger(createMemoryStore());
  for (const nonce of ['a', 'b', 'a']) await ledger.add('sso', 'token-1', nonce, signal);
  expect(await ledger.used('sso', 'token-1', signal)).toBe(2);
  expect(await ledger.used('sso', 'token-2', signal)).toBe(0);
  expect(await ledger.used('other', 'token-1', signal)).toBe(0);
});

test('loses nothing when another writes at the same time: the one that is refused looks again', async () => {
  const store = createMemoryStore();
  const ledgers = Array.from({ length: 3 }, () => createLedger(store));
  await Promise.all(ledgers.map((ledger, index) => ledger.add('sso', 'token-1', `nonce-${index}`, signal)));
  expect(await createLedger(store).used('sso', 'token-1', signal)).toBe(3);
});
