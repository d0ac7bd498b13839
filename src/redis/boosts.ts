import { requireBoost, type ResetCounters, type SetBoost } from '../check/boost.ts';
import { counterName } from '../check/counter.ts';
import type { Secret } from '../secret.ts';
import { boostScript, forgetScript } from './boost-script.ts';
import type { RedisConnection } from './connection.ts';
import { boostKey, createKeyspace, windowKey } from './keys.ts';
import { within } from './within.ts';

export interface RedisBoostsOptions {
  readonly connection: RedisConnection;
  /** See RedisConsumeOptions. */
  readonly keySecret: Secret;
  /** Somebody waits at a terminal. Default 1000. */
  readonly commandTimeoutMs?: number;
}

export interface Boosts {
  readonly setBoost: SetBoost;
  readonly resetCounters: ResetCounters;
}

/**
 * What an operator does for one subject. Each is one script call on the server that holds the subject's counters, and in
 * force with the next claim of any process: the script that charges reads the boost in the same call.
 */
export function createRedisBoosts(options: RedisBoostsOptions): Boosts {
  const { connection, commandTimeoutMs = 1000 } = options;
  const { tagOf } = createKeyspace(options.keySecret);
  const boost = connection.script(boostScript);
  const forget = connection.script(forgetScript);
  return {
    async setBoost(subject, wanted) {
      const key = boostKey(tagOf(subject));
      if (wanted === undefined) {
        await within(commandTimeoutMs, forget([key], []));
        return;
      }
      requireBoost(wanted);
      await within(commandTimeoutMs, boost([key], [String(wanted.percent), String(wanted.durationMs)]));
    },
    async resetCounters(subject, windows) {
      if (windows.length === 0) return;
      const tag = tagOf(subject);
      const keys = [...new Set(windows.map((window) => windowKey(tag, counterName(window))))];
      await within(commandTimeoutMs, forget(keys, []));
    },
  };
}
