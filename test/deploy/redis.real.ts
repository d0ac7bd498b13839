import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { freePort } from '../real/free-port.ts';
import { findParts } from '../real/parts.ts';
import { startProcess } from '../real/running-process.ts';
import { objectOf } from './deployment.ts';
import { kustomize } from './render.ts';

const run = promisify(execFile);

interface StatefulSet {
  readonly template: {
    readonly spec: {
      readonly containers: readonly [
        { readonly command: readonly [string, string]; readonly args: readonly [string] },
      ];
    };
  };
}

test('the Redis of deploy/redis takes its configuration and its password, and evicts nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-redis-pod-'));
  const port = await freePort();
  const objects = await kustomize('redis');
  const { spec } = objectOf(objects, 'StatefulSet', 'tiergate-redis');
  const { containers } = (spec as StatefulSet).template.spec;
  const [{ command, args }] = containers;
  const { data = {} } = objects.find(({ kind }) => kind === 'ConfigMap') ?? {};
  for (const name of ['config', 'secrets', 'data']) await mkdir(join(folder, name));
  const settings = `${data['redis.conf']}`.replace('dir /data', `dir ${folder}/data\nport ${port}`);
  await writeFile(join(folder, 'config/redis.conf'), `${settings}bind 127.0.0.1\n`);
  await writeFile(join(folder, 'secrets/password'), 'f00dcafe');

  const cli = async (...words: readonly string[]): Promise<string> => {
    const { stdout } = await run(findParts().redisCli, ['-p', String(port), '-a', 'f00dcafe', ...words]);
    return stdout.trim();
  };
  const [shell, flag] = command;
  const redis = await startProcess({
    name: 'redis-pod',
    command: shell,
    args: [flag, args[0].replaceAll(/ \/(config|secrets)\//g, ` ${folder}/$1/`)],
    isReady: async () => (await cli('PING')) === 'PONG',
  });
  try {
    expect(await cli('CONFIG', 'GET', 'maxmemory-policy')).toContain('noeviction');
    expect(await cli('CONFIG', 'GET', 'appendonly')).toContain('yes');
    const { stdout } = await run(findParts().redisCli, ['-p', String(port), 'PING']).catch(
      (error: { readonly stdout: string }) => error,
    );
    expect(stdout).toContain('NOAUTH');
  } finally {
    await redis.stop();
    await rm(folder, { recursive: true });
  }
});
