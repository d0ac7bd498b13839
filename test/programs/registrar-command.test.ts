import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { checkConfig } from '../../src/programs/check-config.ts';
import { iat } from '../../src/programs/iat.ts';
import { registrar } from '../../src/programs/registrar.ts';
import { sso } from '../../src/programs/sso.ts';
import { type KeycloakStandIn, startKeycloakStandIn } from '../oidc/keycloak-stand-in.ts';
import { startVaultStandIn, type VaultStandIn } from '../vault/vault-stand-in.ts';
import { createRegistrarWorld, inventory, recordIo, type RegistrarWorld } from './registrar-world.ts';

let realm: KeycloakStandIn;
let vault: VaultStandIn;
let world: RegistrarWorld;

beforeEach(async () => {
  [realm, vault] = [await startKeycloakStandIn(), await startVaultStandIn()];
  world = await createRegistrarWorld({ realm, vault });
  await mkdir(join(world.directory, 'nested'));
});
afterEach(async () => {
  await Promise.all([realm.stop(), vault.stop(), world.remove()]);
});

/** A process file in the world's folder, as an operator has it: relative paths, a section that others read too. */
async function writeProcessFile(change: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const file = join(world.directory, 'tiergate.yaml');
  await writeFile(file, stringify({ limits: { store: 'memory' }, registrar: world.section(change) }));
  return file;
}

test('from the process file to a profile: set a token, plan, one pass, status', async () => {
  const file = await writeProcessFile();
  await world.writeInventory(inventory(['a']));
  const { token } = await realm.issueToken(30 * 86_400, 100);
  expect(await checkConfig([file], recordIo())).toBe(0);
  expect(await iat(['set', '--config', file], recordIo(token))).toBe(0);

  const planned = recordIo();
  expect(await sso(['plan', '--config', file], planned)).toBe(0);
  expect(planned.output()).toContain('would create  a-1Org2-redhat-sso-127.0.0.1');
  const dry = recordIo();
  expect(await registrar(['--dry-run', '--config', file], dry)).toBe(0);
  expect(dry.output()).toBe(planned.output());
  expect(await realm.clientIds()).toEqual([]);

  expect(await registrar(['--once', '--config', file], recordIo())).toBe(0);
  expect(await realm.clientIds()).toEqual(['a-1Org2-redhat-sso-127.0.0.1']);
  const status = recordIo();
  expect(await iat(['status', '--config', file], status)).toBe(0);
  expect(status.output()).toContain('99 of 100 clients');
});

test('says what is wrong with the section, with its line, and starts nothing', async () => {
  const file = await writeProcessFile({ interval: 5, store: {} });
  const io = recordIo();
  expect(await registrar(['--config', file], io)).toBe(78);
  expect(io.errors()).toMatch(/tiergate\.yaml:\d+: registrar\.interval: must be text with a unit/);
  expect(io.errors()).toMatch(/registrar\.store: must hold exactly one of vault, kubernetes; none is there/);
});

test('needs the section, and files that can be read', async () => {
  const file = join(world.directory, 'tiergate.yaml');
  await writeFile(file, 'limits: {store: memory}\n');
  const without = recordIo();
  expect(await sso(['plan', '--config', file], without)).toBe(78);
  expect(without.errors()).toContain('registrar: is needed by this command');
  const missing = recordIo();
  const vaultWithout = { url: vault.url, appRole: { roleIdFile: 'nobody', secretIdFile: 'secret' } };
  expect(await iat(['status', '--config', await writeProcessFile({ vault: vaultWithout })], missing)).toBe(
    78,
  );
  expect(missing.errors()).toContain('the secret can not be read (ENOENT)');
});

test.each([
  [['--allow-mass-delete'], 'lifts the cap for one pass'],
  [['--nonsense'], 'nonsense'],
])('refuses %j in words', async (args, words) => {
  const io = recordIo();
  expect(await registrar(args, io)).toBe(64);
  expect(io.errors()).toContain(words);
});
