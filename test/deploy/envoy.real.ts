import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createModelServer } from '../../src/sandbox/model-server.ts';
import { chat, send } from '../gateway/send.ts';
import { freePort } from '../real/free-port.ts';
import { findParts } from '../real/parts.ts';
import { deployFolder } from './render.ts';
import {
  type Bootstrap,
  type ConnectionManager,
  connectionManagerOf,
  extAuthzOf,
  patchedByIstio,
  readConfiguration,
  shippedConfigurations,
  startShipped,
} from './shipped-envoy.ts';

const run = promisify(execFile);
const example = 'envoy/envoy.yaml';
const istio = "the EnvoyFilter's patches";
const tokenBudgets = 'components/istio-token-budgets';

const validate = (file: string) =>
  run(findParts().envoy, ['--mode', 'validate', '--config-path', file], { timeout: 30_000 });

const shipped = await shippedConfigurations();
const every: readonly (readonly [string, () => Promise<Bootstrap>])[] = [
  ...shipped.map((file) => [file, () => readConfiguration(file)] as const),
  [istio, () => patchedByIstio()],
  [`${istio}, with those for token budgets`, () => patchedByIstio([tokenBudgets])],
];

describe('the configurations for Envoy', () => {
  it('are found by themselves', () => {
    expect(shipped).toContain(example);
  });

  it.each(shipped)('%s is one that Envoy takes', async (file) => {
    const { stdout } = await validate(join(deployFolder, file));
    expect(stdout).toContain('OK');
  });

  it('would not be taken with a field that Envoy does not know', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tiergate-deploy-'));
    const broken = join(folder, 'envoy.yaml');
    const text = await readFile(join(deployFolder, example), 'utf8');
    await writeFile(broken, text.replace('buffer_flush_interval', 'buffer_flush_intervall'));
    await expect(validate(broken)).rejects.toThrow('buffer_flush_intervall');
    await rm(folder, { recursive: true });
  });

  it.each(every)(
    '%s fails closed, tells of every request in 100 ms, and takes no path for another',
    async (_name, read) => {
      const manager = connectionManagerOf(await read());
      expect(manager).toMatchObject({
        normalize_path: true,
        merge_slashes: true,
        path_with_escaped_slashes_action: 'REJECT_REQUEST',
      });
      expect(JSON.stringify(manager.early_header_mutation_extensions)).toMatch(/x-tiergate-.*x-maas-/);
      const filter = extAuthzOf(manager);
      expect(filter).toMatchObject({
        failure_mode_allow: false,
        status_on_error: { code: 'ServiceUnavailable' },
      });
      expect(filter.grpc_service?.timeout ?? filter.http_service?.server_uri.timeout).toBe('1s');
      const log = manager.access_log?.find(({ name }) => name === 'envoy.access_loggers.http_grpc');
      // A gateway may settle by another way than the access log; where it has one, not once a second.
      if (log !== undefined)
        expect(log.typed_config.common_config).toMatchObject({ buffer_flush_interval: '0.1s' });
    },
  );

  it.each(every)(
    '%s runs: 503 while there is no authorizer, 400 for an escaped slash',
    async (_name, read) => {
      const nobody = await freePort();
      const envoy = await startShipped(await read(), () => nobody);
      try {
        expect((await chat(envoy.port, 'a-token')).status).toBe(503);
        const escaped = await send(envoy.port, { path: '/llm%2Fllama/v1/chat/completions' });
        expect(escaped.status).toBe(400);
      } finally {
        await envoy.stop();
      }
    },
  );

  it('are asked and not obeyed in shadow, also while there is no authorizer', async () => {
    const nobody = await freePort();
    const model = createModelServer();
    const { port } = await model.start();
    const shadow = await patchedByIstio(['components/istio-shadow']);
    const envoy = await startShipped(shadow, (name) => (name === 'models' ? port : nobody));
    try {
      expect((await chat(envoy.port, 'a-token')).status).toBe(200);
      expect(await envoy.stat('http.gateway.ext_authz.shadow_error')).toBe(1);
    } finally {
      await envoy.stop();
      await model.stop();
    }
  });

  it('are the same for Istio as for Envoy itself, in what concerns the authorizer', async () => {
    const ours = connectionManagerOf(await readConfiguration(example));
    const theirs = connectionManagerOf(await patchedByIstio([tokenBudgets]));
    const told = (manager: ConnectionManager): unknown => {
      const { http_filters, access_log, early_header_mutation_extensions } = manager;
      const text = JSON.stringify({ http_filters, access_log, early_header_mutation_extensions });
      return JSON.parse(text.replaceAll(/"cluster_name":"[^"]+"/g, '"cluster_name":""')) as unknown;
    };
    expect(told(theirs)).toEqual(told(ours));
  });
});
