import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createRegistrarMetrics } from '../../src/process/registrar-metrics.ts';
import { iatText } from '../register/memory-realm.ts';
import { cluster, clusters, createWorld, iatKey, issuer } from '../register/world.ts';

function observed() {
  const registry = new Registry();
  const metrics = createRegistrarMetrics({
    registry,
    integration: 'rhidp-sso-client',
    environment: 'production',
    escalation: 'the identity team',
    pathOf: (instance) => `creds/${instance}`,
  });
  /** Lines of the exposition, without help and types and without the labels that all have. */
  const lines = async (name: string): Promise<readonly string[]> => {
    const text = await registry.metrics();
    return text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`))
      .map((line) => line.replace('integration="rhidp-sso-client",ocm_environment="production"', ''));
  };
  return { metrics, lines };
}

test('speaks the names that dashboards know', async () => {
  const { metrics, lines } = observed();
  const world = createWorld();
  world.clusters = [...clusters(2), cluster('x', { organizationId: 'o2', status: 'disabled' })];
  await world.run({}, { onApplied: metrics.observeAction });
  metrics.observePass(await world.run(), 1.5, world.nowMs);
  expect(await lines('rhidp_sso_client_inital_access_token_expiration')).toEqual([
    'rhidp_sso_client_inital_access_token_expiration{,path="creds/sso.example.com"} 1797919200',
  ]);
  expect(await lines('rhidp_sso_client_number_of_clients')).toEqual([
    'rhidp_sso_client_number_of_clients{} 2',
  ]);
  expect(await lines('rhidp_managed_clusters')).toEqual([
    'rhidp_managed_clusters{,org_id="o1"} 2',
    'rhidp_managed_clusters{,org_id="o2"} 1',
  ]);
  expect(await lines('rhidp_sso_client_reconciled_total')).toEqual(['rhidp_sso_client_reconciled_total{} 1']);
  expect(await lines('rhidp_sso_client_reconcile_errors_total')).toEqual([
    'rhidp_sso_client_reconcile_errors_total{} 0',
  ]);
  expect(await lines('rhidp_sso_client_iat_remaining_clients')).toEqual([
    'rhidp_sso_client_iat_remaining_clients{,path="creds/sso.example.com",source="ledger"} 98',
  ]);
  expect(await lines('rhidp_sso_client_iat_usable')).toEqual([
    'rhidp_sso_client_iat_usable{,path="creds/sso.example.com"} 1',
  ]);
  expect(await lines('rhidp_sso_client_iat_info')).toEqual([
    'rhidp_sso_client_iat_info{,path="creds/sso.example.com",idp="sso.example.com",environment="prod",escalation="the identity team"} 1',
  ]);
  expect(await lines('tiergate_registrar_actions_total')).toEqual([
    'tiergate_registrar_actions_total{,action="create",outcome="done"} 2',
  ]);
});

test('tells what is wrong, and forgets it when it is over', async () => {
  const { metrics, lines } = observed();
  const world = createWorld();
  world.clusters = clusters(3);
  const good = world.tokens.documents()[iatKey];
  world.tokens.put(iatKey, { token: 'garbage' });
  metrics.observePass(await world.run(), 1, world.nowMs);
  expect(await lines('rhidp_sso_client_blocked_creates')).toEqual(['rhidp_sso_client_blocked_creates{} 3']);
  expect(await lines('rhidp_sso_client_iat_problem')).toEqual([
    'rhidp_sso_client_iat_problem{,path="creds/sso.example.com",problem="malformed"} 1',
  ]);
  expect(await lines('tiergate_registrar_findings')).toEqual([
    'tiergate_registrar_findings{,finding="create_blocked"} 3',
  ]);
  expect(await lines('tiergate_registrar_converged')).toEqual(['tiergate_registrar_converged{} 0']);

  world.tokens.put(iatKey, good);
  metrics.observePass(await world.run(), 1, world.nowMs);
  expect(await lines('rhidp_sso_client_blocked_creates')).toEqual(['rhidp_sso_client_blocked_creates{} 0']);
  expect(await lines('rhidp_sso_client_iat_problem')).toEqual([]);
  expect(await lines('tiergate_registrar_findings')).toEqual([]);
});

test('a token that never expires has no date, rather than 1970', async () => {
  const { metrics, lines } = observed();
  const world = createWorld();
  world.tokens.put(iatKey, { token: iatText({ iss: issuer, exp: 0, jti: 'x' }) });
  metrics.observePass(await world.run(), 1, world.nowMs);
  expect(await lines('rhidp_sso_client_inital_access_token_expiration')).toEqual([]);
});

test('counts every registration token that could not be stored', async () => {
  const { metrics, lines } = observed();
  metrics.observeAction({
    action: {
      kind: 'clear',
      id: 'x',
      intent: {
        id: 'x',
        version: '1',
        step: 'update',
        nonce: 'n',
        issuer,
        clientSecret: undefined,
        tokenId: undefined,
      },
    },
    outcome: 'failed',
    findings: [{ kind: 'token_not_persisted', subject: 'x', detail: '' }],
  });
  expect(await lines('rhidp_sso_client_token_persist_failures_total')).toEqual([
    'rhidp_sso_client_token_persist_failures_total{} 1',
  ]);
});
