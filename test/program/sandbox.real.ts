import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findParts } from '../real/parts.ts';
import { hasEnded } from '../real/process-table.ts';
import { childrenOf, listeningAddresses, type ProgramProcess, startProgram } from './program-process.ts';
import { describeLinesToPaste } from './sandbox-lines.ts';

describe('a sandbox with a real Envoy on the PATH', () => {
  let sandbox: ProgramProcess;
  let envoy: string;

  const start = async (): Promise<ProgramProcess> => {
    const started = startProgram(['sandbox', '--gateway-port', '0', '--grpc-port', '0', '--http-port', '0'], {
      env: { PATH: `${dirname(envoy)}:${process.env['PATH']}` },
    });
    await started.said('Ctrl-C ends it.');
    return started;
  };

  beforeAll(async () => {
    ({ envoy } = findParts());
    sandbox = await start();
  });

  afterAll(() => {
    sandbox.signal('SIGTERM');
  });

  it('uses it, and listens on loopback only', () => {
    expect(sandbox.out()).toContain(`(Envoy, ${envoy})`);
    const [child, ...more] = childrenOf(sandbox.pid);
    expect(more).toEqual([]);
    const addresses = [sandbox.pid, child ?? -1].flatMap(listeningAddresses);
    expect(addresses.length).toBeGreaterThan(6);
    expect(addresses.filter((address) => !address.startsWith('127.0.0.1:'))).toEqual([]);
  });

  describeLinesToPaste(() => sandbox.out());

  it('refuses a gateway port that its Envoy would share with another', async () => {
    const [, port = ''] = /gateway +http:\/\/127\.0\.0\.1:(\d+)/.exec(sandbox.out()) ?? [];
    const second = startProgram(['sandbox', '--gateway-port', port, '--grpc-port', '0', '--http-port', '0'], {
      env: { PATH: `${dirname(envoy)}:${process.env['PATH']}` },
    });
    const { code, err } = await second.ended;
    expect(code).toBe(69);
    expect(err).toContain(`127.0.0.1:${port} is taken`);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('ends within 2 s of %s, and Envoy with it', async (signal) => {
    const own = signal === 'SIGINT' ? sandbox : await start();
    const [child = -1] = childrenOf(own.pid);
    expect(hasEnded(child)).toBe(false);
    const startedAtMs = performance.now();
    own.signal(signal);
    expect(await own.ended).toMatchObject({ code: 0, err: '' });
    expect(performance.now() - startedAtMs).toBeLessThan(2_000);
    expect(hasEnded(child)).toBe(true);
  });

  it('ends with a word when Envoy ends by itself', async () => {
    const own = await start();
    const [child = -1] = childrenOf(own.pid);
    process.kill(child, 'SIGKILL');
    const { code, err } = await own.ended;
    expect(code).toBe(1);
    expect(err).toBe('Envoy has ended, and with it the gateway\n');
  });
});
