import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';
import { DependencyError } from '../dependency-error.ts';
import { type CircuitBreaker, createCircuitBreaker, type Leave } from './circuit-breaker.ts';
import { createRedisClient, type RedisClient, type RedisClientOptions } from './client.ts';
import { dependencyErrorFrom, isScriptMissing } from './fault.ts';
import { slotOfTag } from './hash-slot.ts';
import { tagOfKey } from './keys.ts';
import { createServerClock, type ServerClock } from './server-clock.ts';

export interface RedisState {
  /** `ready`: claims are sent. `connecting`: also between two attempts. `closed`: for good. */
  readonly phase: 'connecting' | 'ready' | 'closed';
  /** What went wrong last, until it is ready again. Holds no secret. */
  readonly fault: DependencyError | undefined;
}

export interface RedisConnectionOptions extends Omit<RedisClientOptions, 'stallTimeoutMs'> {
  /** Epoch milliseconds; the clock that deadlines are in. */
  readonly now: () => number;
  /**
   * How long a server may owe a reply before the connection is given up and made anew, in milliseconds.
   * Default 1000. Shorter breaks connections in a pause that would pass; longer keeps a dead one.
   */
  readonly stallTimeoutMs?: number;
  /**
   * How long a server may owe a reply before scripts are turned away (`timeout`, not sent) until it has caught
   * up, in milliseconds. The caller's own time-out is right. Default: without end.
   */
  readonly patienceMs?: number;
  /** Scripts sent and not answered, at most; more are `overloaded`. Default 10 000, about 30 MB. */
  readonly maxPending?: number;
  readonly onStateChange?: (state: RedisState) => void;
}

/**
 * Sends a script; `keys` share a hash tag. Throws DependencyError at once when nothing was sent; rejects with
 * one when it may have run all the same.
 */
export type RunScript = (keys: readonly string[], args: readonly string[]) => Promise<unknown>;

export interface RedisConnection {
  readonly state: () => RedisState;
  /** True once it is ready, false when the time is over or it was closed. */
  readonly waitUntilReady: (timeoutMs: number) => Promise<boolean>;
  /**
   * Loads a script into each server it connects to, so that a call is one round trip; sends it whole where it
   * got lost since.
   */
  readonly script: (lua: string) => RunScript;
  /** The clock of the server that holds keys of that hash tag; one that knows nothing until that server was met. */
  readonly clockOf: (tag: string) => ServerClock;
  /** Ends all connections. What is still under way throws `unreachable`. Safe to call twice. */
  readonly close: () => Promise<void>;
}

interface Script {
  readonly sha: string;
  readonly lua: string;
}

const noLeave: Leave = () => undefined;
const readyPollMs = 5;
const closeTimeoutMs = 500;
const resumeDelayMs = 50;

/**
 * One ioredis client that never queues, never sends twice, and reconnects by itself for as long as it is not
 * closed. It is ready once the server's clock is known.
 */
export function createRedisConnection(options: RedisConnectionOptions): RedisConnection {
  const { now, stallTimeoutMs = 1000, maxPending = 10_000, onStateChange, ...others } = options;
  const { patienceMs = Number.POSITIVE_INFINITY, ...clientOptions } = others;
  const client = createRedisClient({ ...clientOptions, stallTimeoutMs });
  const clocks = new Map<string, ServerClock>();
  const breakers = new Map<string, CircuitBreaker>();
  const scripts: string[] = [];
  /** Nodes that are asked for their clock right now. */
  const meeting = new Set<string>();
  let state: RedisState = { phase: 'connecting', fault: undefined };
  let pending = 0;
  /** Tells a preparation whose connection was lost meanwhile that it is about nothing any more. */
  let connections = 0;
  let resumeTimer: NodeJS.Timeout | undefined;

  function become(phase: RedisState['phase'], fault: DependencyError | undefined): void {
    if (state.phase === 'closed' || (state.phase === phase && state.fault?.message === fault?.message))
      return;
    state = { phase, fault };
    onStateChange?.(state);
  }

  async function prepareServer(server: Redis, name: string): Promise<void> {
    const sentAtMs = now();
    const [seconds, microseconds] = await server.time();
    const clock = createServerClock();
    clock.observe(sentAtMs, Number(seconds) * 1_000_000 + Number(microseconds), now());
    clocks.set(name, clock);
    await Promise.all(scripts.map((lua) => server.script('LOAD', lua)));
  }

  async function prepare(): Promise<void> {
    connections += 1;
    const connection = connections;
    try {
      if (client instanceof Cluster) {
        await Promise.all(client.nodes('master').map((node) => prepareServer(node, nodeName(node))));
      } else {
        // Another server may answer now, with another clock.
        clocks.clear();
        await prepareServer(client, '');
      }
      if (connection === connections && client.status === 'ready') become('ready', undefined);
    } catch (error) {
      if (connection !== connections || state.phase === 'closed') return;
      become('connecting', dependencyErrorFrom(error));
      client.disconnect(true);
    }
  }

  /** A node that nobody asked before, such as a replica that was promoted; the claims after this one can. */
  function meet(cluster: Cluster, name: string): void {
    const node = cluster.nodes('all').find((each) => nodeName(each) === name);
    if (node === undefined || meeting.has(name)) return;
    meeting.add(name);
    prepareServer(node, name)
      .catch(() => undefined)
      .finally(() => meeting.delete(name));
  }

  function lost(): void {
    connections += 1;
    become('connecting', state.fault);
  }

  /**
   * ioredis gives up for good when its watch for failovers hears of one while a sentinel is asked for the
   * master, which is when a failover is what everybody waits for.
   */
  function resume(): void {
    if (state.phase === 'closed') return;
    resumeTimer = setTimeout(() => void client.connect().catch(() => undefined), resumeDelayMs);
  }

  // Without a listener ioredis prints errors itself.
  client.on('error', (error: unknown) => become(state.phase, dependencyErrorFrom(error)));
  client.on('ready', () => void prepare());
  client.on('close', lost);
  client.on('reconnecting', lost);
  client.on('end', resume);

  /** Of the node that has the keys of a hash tag now; '' where there is but one. */
  function nodeNameOf(tag: string): string {
    return client instanceof Cluster ? (client.slots[slotOfTag(tag)]?.[0] ?? '') : '';
  }

  /** One for each node, so that one that hangs does not keep the others from being asked. */
  function enter(key: string): Leave {
    if (patienceMs === Number.POSITIVE_INFINITY) return noLeave;
    const name = nodeNameOf(tagOfKey(key));
    let breaker = breakers.get(name);
    if (breaker === undefined) {
      breaker = createCircuitBreaker({ patienceMs, elapsed: () => performance.now() });
      breakers.set(name, breaker);
    }
    const leave = breaker.enter();
    if (leave === undefined) {
      throw new DependencyError('redis', 'timeout', { detail: 'not sent: replies are overdue' });
    }
    return leave;
  }

  function run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const leave = enter(keys[0] ?? '');
    pending += 1;
    return client.evalsha(script.sha, keys.length, ...keys, ...args).then(
      (reply) => {
        pending -= 1;
        leave();
        return reply;
      },
      (error: unknown) => {
        pending -= 1;
        leave();
        if (!isScriptMissing(error)) throw dependencyErrorFrom(error);
        return client.eval(script.lua, keys.length, ...keys, ...args).catch((again: unknown) => {
          throw dependencyErrorFrom(again);
        });
      },
    );
  }

  return {
    state: () => state,
    async waitUntilReady(timeoutMs) {
      const endsAtMs = performance.now() + timeoutMs;
      while (state.phase === 'connecting' && performance.now() < endsAtMs) await sleep(readyPollMs);
      return state.phase === 'ready';
    },
    script(lua) {
      scripts.push(lua);
      // Otherwise loaded when it gets ready; where loading fails, a call sends the script whole.
      if (state.phase === 'ready') client.script('LOAD', lua).catch(() => undefined);
      const sha = createHash('sha1').update(lua).digest('hex');
      return (keys, args) => {
        if (state.phase !== 'ready') {
          throw state.fault ?? new DependencyError('redis', 'unreachable', { detail: state.phase });
        }
        if (pending >= maxPending) {
          throw new DependencyError('redis', 'overloaded', { detail: `${pending} replies are due` });
        }
        return run({ sha, lua }, keys, args);
      };
    },
    clockOf(tag) {
      const name = nodeNameOf(tag);
      const clock = clocks.get(name);
      if (clock === undefined && client instanceof Cluster) meet(client, name);
      return clock ?? createServerClock();
    },
    async close() {
      if (state.phase === 'closed') return;
      become('closed', undefined);
      clearTimeout(resumeTimer);
      await endClient(client);
    },
  };
}

function nodeName({ options }: Redis): string {
  return `${options.host}:${options.port}`;
}

/** Lets replies that are due arrive, for a moment; a server that hangs is left without a word. */
async function endClient(client: RedisClient): Promise<void> {
  const ended = new Promise<void>((resolve) => void client.once('end', resolve));
  await Promise.race([client.quit().catch(() => undefined), sleep(closeTimeoutMs)]);
  client.disconnect();
  // Between two attempts nothing is open, and nothing tells the end.
  if (client.status !== 'end' && client.status !== 'reconnecting')
    await Promise.race([ended, sleep(closeTimeoutMs)]);
}
