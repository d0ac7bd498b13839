import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { freePort } from './free-port.ts';
import { type RedisServer, redisCli, startRedis } from './redis.ts';

/** Six nodes, three of them masters with one replica each. Which is which changes with every failover. */
export interface RedisCluster {
  readonly nodes: readonly RedisServer[];
  readonly stop: () => Promise<void>;
}

/** A primary, one replica, and three sentinels that agree by two. */
export interface RedisSentinel {
  readonly masterName: string;
  /** In the roles they started with. */
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly RedisServer[];
  readonly stop: () => Promise<void>;
}

/** How long a node must be silent to count as down. Short, so that a test sees the failover in a few seconds. */
const downAfterMs = 1_000;

const readyTimeoutMs = 30_000;

/** Ready when every node says `cluster_state:ok` and every master has its replica. */
export async function startRedisCluster(): Promise<RedisCluster> {
  return withAllStopped(async (start) => {
    const nodes: RedisServer[] = [];
    const addresses: string[] = [];
    for (let index = 0; index < 6; index += 1) {
      const busPort = await freePort();
      const node = await start({ extraArgs: clusterArgs(busPort) });
      nodes.push(node);
      addresses.push(`127.0.0.1:${node.port}@${busPort}`);
    }
    await redisCli(['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes']);
    await until('the Redis Cluster has formed', async () => {
      const states = await Promise.all(nodes.map((node) => node.cli('CLUSTER', 'INFO')));
      const replicas = await nodes[0]?.cli('CLUSTER', 'NODES');
      return (
        states.every((state) => state.includes('cluster_state:ok')) &&
        replicas?.match(/ (?:myself,)?slave /g)?.length === 3
      );
    });
    return { nodes };
  });
}

function clusterArgs(busPort: number): readonly string[] {
  return [
    '--cluster-enabled',
    'yes',
    '--cluster-node-timeout',
    String(downAfterMs),
    // Where the nodes talk among themselves; the default, 10 000 above the port, may be taken.
    '--cluster-port',
    String(busPort),
  ];
}

/** Ready when each sentinel knows the replica and the other two sentinels. */
export async function startRedisSentinel(): Promise<RedisSentinel> {
  const masterName = 'counters';
  const directory = await mkdtemp(join(tmpdir(), 'tiergate-sentinel-'));
  const group = await withAllStopped(async (start) => {
    const primary = await start({});
    const replica = await start({ extraArgs: ['--replicaof', '127.0.0.1', String(primary.port)] });
    await until('the replica follows', async () =>
      (await replica.cli('INFO', 'replication')).includes('master_link_status:up'),
    );
    const sentinels: RedisServer[] = [];
    for (let index = 0; index < 3; index += 1) {
      const configFile = join(directory, `sentinel-${index}.conf`);
      await writeFile(configFile, sentinelConfig(masterName, primary.port));
      sentinels.push(await start({ mode: 'sentinel', configFile }));
    }
    await until('the sentinels know each other', async () => {
      const told = await Promise.all(
        sentinels.map((sentinel) => sentinel.cli('SENTINEL', 'MASTER', masterName)),
      );
      return told.every(
        (answer) => field(answer, 'num-slaves') === '1' && field(answer, 'num-other-sentinels') === '2',
      );
    });
    return { masterName, primary, replica, sentinels };
  });
  return {
    ...group,
    stop: async () => {
      await group.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function sentinelConfig(masterName: string, primaryPort: number): string {
  return [
    `sentinel monitor ${masterName} 127.0.0.1 ${primaryPort} 2`,
    `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
    `sentinel failover-timeout ${masterName} 5000`,
    '',
  ].join('\n');
}

/** redis-cli prints a flat list of names and values, one a line. */
function field(answer: string, name: string): string | undefined {
  const lines = answer.split('\n');
  return lines[lines.indexOf(name) + 1];
}

type Start = typeof startRedis;

/** Whatever `form` starts is ended together, also when forming the group fails half way. */
async function withAllStopped<Group extends object>(
  form: (start: Start) => Promise<Group>,
): Promise<Group & { readonly stop: () => Promise<void> }> {
  const servers: RedisServer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    const group = await form(async (options) => {
      const server = await startRedis(options);
      servers.push(server);
      return server;
    });
    return { ...group, stop };
  } catch (cause) {
    await stop();
    throw cause;
  }
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(100);
  }
}
