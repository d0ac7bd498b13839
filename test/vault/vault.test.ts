import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKvStore } from '../../src/vault/kv-store.ts';
import { startVaultStandIn, type VaultStandIn } from './vault-stand-in.ts';
import { clientOf, describeVault } from './vault-contract.ts';

let standIn: VaultStandIn;

beforeAll(async () => {
  standIn = await startVaultStandIn();
});
afterAll(() => standIn.stop());

describeVault('the stand-in', () => ({
  ...standIn,
  expireLogins: async () => standIn.expireLogins(),
  setSealed: async (isSealed) => standIn.setSealed(isSealed),
  softDelete: async (key) => standIn.softDelete(key),
}));

test('logs in once for many requests, and anew before a login ends', async () => {
  const signal = AbortSignal.timeout(10_000);
  const store = createKvStore({ client: clientOf(standIn), path: 'secret/once' });
  const logins = (): number => standIn.requests().filter((line) => line.endsWith('/login')).length;
  const before = logins();
  await store.list(signal);
  await store.list(signal);
  await store.read('x', signal);
  expect(logins() - before).toBe(1);
});
