import { afterEach, beforeEach, expect, test } from 'vitest';
import { runOnce } from '../../src/programs/registrar.ts';
import { formatDocument } from '../../src/register/document-store.ts';
import { type KeycloakStandIn, startKeycloakStandIn } from '../oidc/keycloak-stand-in.ts';
import { startVaultStandIn, type VaultStandIn } from '../vault/vault-stand-in.ts';
import { createRegistrarWorld, inventory, recordIo, type RegistrarWorld } from './registrar-world.ts';

const signal = new AbortController().signal;
const apply = { dryRun: false, allowMassDelete: false };
const plan = { dryRun: true, allowMassDelete: false };
let realm: KeycloakStandIn;
let vault: VaultStandIn;
let world: RegistrarWorld;

beforeEach(async () => {
  [realm, vault] = [await startKeycloakStandIn(), await startVaultStandIn()];
  world = await createRegistrarWorld({ realm, vault });
  const { token } = await realm.issueToken(30 * 86_400, 100);
  const kv = world.open(world.tokenPath.slice(0, world.tokenPath.lastIndexOf('/')));
  await kv.write('sso.example.com', formatDocument({ 'initial-access-token': token }), undefined, signal);
});
afterEach(async () => {
  await Promise.all([realm.stop(), vault.stop(), world.remove()]);
});

test('one pass from inventory to realm and Vault, and a plan that says the same before', async () => {
  await world.writeInventory(inventory(['a', 'b']));
  const planned = recordIo();
  expect(await runOnce(world.file(), planned, plan)).toBe(0);
  expect(planned.output()).toContain('would create  a-1Org2-redhat-sso-127.0.0.1');
  expect(await realm.clientIds()).toEqual([]);

  const done = recordIo();
  expect(await runOnce(world.file(), done, apply)).toBe(0);
  expect(done.output()).toContain('done    create  b-1Org2-redhat-sso-127.0.0.1');
  expect(
    done
      .errors()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toMatchObject([
    { event: 'sso_audit', action: 'create', clientId: 'a-1Org2-redhat-sso-127.0.0.1', outcome: 'done' },
    { event: 'sso_audit', action: 'create', clientId: 'b-1Org2-redhat-sso-127.0.0.1', outcome: 'done' },
  ]);
  expect(await realm.clientIds()).toHaveLength(2);
  expect([...(await world.open(world.recordsPath).list(signal))].sort()).toEqual(await realm.clientIds());

  const before = [realm.requests().length, vault.requests().length];
  expect(await runOnce(world.file(), recordIo(), apply)).toBe(0);
  const after = [...realm.requests().slice(before[0]), ...vault.requests().slice(before[1])];
  const isWrite = (line: string): boolean =>
    !line.startsWith('GET ') &&
    !/\/login$|\/token$|capabilities-self$|\/clients-registrations\/default$/.test(line);
  expect(after.filter(isWrite)).toEqual([]);
});

test('exit code 1 and the reason when a create is blocked; removals of the same run succeed', async () => {
  await world.writeInventory(inventory(['a', 'b']));
  await runOnce(world.file(), recordIo(), apply);
  const kv = world.open(world.tokenPath.slice(0, world.tokenPath.lastIndexOf('/')));
  await kv.remove('sso.example.com', signal);
  await world.writeInventory(inventory(['a'], ', status: disabled') + inventory(['b', 'c']));
  const io = recordIo();
  expect(await runOnce(world.file(), io, apply)).toBe(1);
  expect(io.output()).toContain('done    remove  a-1Org2-redhat-sso-127.0.0.1 (disabled)');
  expect(io.output()).toContain(
    'create_blocked: c-1Org2-redhat-sso-127.0.0.1: sso.example.com: the Initial Access Token is missing: nothing is stored at sso.example.com',
  );
  expect(await realm.clientIds()).toEqual(['b-1Org2-redhat-sso-127.0.0.1']);
});

test('an inventory with mistakes changes nothing, and each mistake is named', async () => {
  await world.writeInventory(inventory(['a', 'b']));
  await runOnce(world.file(), recordIo(), apply);
  await world.writeInventory(
    '- {name: a, organization: x}\n- {name: "b c", organizationId: y, status: of}\n',
  );
  const io = recordIo();
  expect(await runOnce(world.file(), io, apply)).toBe(1);
  expect(io.output()).toContain('discovery_failed');
  expect(io.output()).toContain('organization');
  expect(io.output()).toContain('1.status');
  expect(await realm.clientIds()).toHaveLength(2);
});

test('an inventory that is not there changes nothing', async () => {
  const io = recordIo();
  expect(await runOnce(world.file(), io, apply)).toBe(1);
  expect(io.output()).toContain('clusters.yaml can not be read');
});
