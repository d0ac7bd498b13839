import { afterAll, beforeAll } from 'vitest';
import { startVault, type Vault } from '../real/vault.ts';
import { describeVault } from './vault-contract.ts';

let vault: Vault;

beforeAll(async () => {
  vault = await startVault();
});
afterAll(() => vault.stop());

describeVault('a real Vault', () => vault);
