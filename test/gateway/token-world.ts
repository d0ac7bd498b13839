import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { createRedisConnection } from '../../src/redis/connection.ts';
import { createRedisConsume } from '../../src/redis/consume.ts';
import type { Authorizer, Installation } from './installation.ts';

/** What a request to a model is, and how its client behaves. */
export interface Asked {
  readonly path?: string;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** Goes away when it has got so many parts of the answer. */
  readonly leavesAfterParts?: number;
  /** Goes away after that time, in milliseconds. */
  readonly leavesAfterMs?: number;
}

export interface Heard {
  /** undefined: it went away, or was cut off, before there was one. */
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly bytes: Buffer;
  /** Whether the answer came to its end. */
  readonly isWhole: boolean;
  /** When each part of the body came, in milliseconds of performance.now(). */
  readonly partsAtMs: readonly number[];
}

const chatPath = '/llm/llama/v1/chat/completions';

/** One request on a connection of its own. Never rejects: whatever becomes of it is heard. */
export function ask(port: number, token: string, asked: Asked): Promise<Heard> {
  return new Promise((resolve) => {
    let status: number | undefined;
    let headers: Heard['headers'] = {};
    let isWhole = false;
    const parts: Buffer[] = [];
    const partsAtMs: number[] = [];
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method: 'POST',
        path: asked.path ?? chatPath,
        agent: false,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          ...asked.headers,
        },
      },
      (incoming) => {
        status = incoming.statusCode;
        headers = incoming.headers;
        incoming.on('data', (part: Buffer) => {
          parts.push(part);
          partsAtMs.push(performance.now());
          if (parts.length === asked.leavesAfterParts) outgoing.destroy();
        });
        incoming.on('end', () => (isWhole = true));
        incoming.on('error', () => undefined);
        incoming.on('close', done);
      },
    );
    function done(): void {
      resolve({ status, headers, bytes: Buffer.concat(parts), isWhole, partsAtMs });
    }
    outgoing.on('error', () => {
      if (status === undefined) done();
    });
    outgoing.end(sized(asked.body));
    if (asked.leavesAfterMs !== undefined) {
      void sleep(asked.leavesAfterMs).then(() => outgoing.destroy());
    }
  });
}

/** Of every request here: an estimate of 100 tokens. */
const bodyBytes = 400;

/** As JSON of exactly that length, filled up with what no model reads. */
function sized(body: object): string {
  const bare = JSON.stringify({ ...body, user: '' });
  return JSON.stringify({ ...body, user: 'x'.repeat(Math.max(0, bodyBytes - bare.length)) });
}

export interface TokenCounter {
  /** Tokens that are charged to a subject now, looked at in Redis itself. */
  readonly charged: (subject: string) => Promise<number>;
  readonly close: () => Promise<void>;
}

/** Looks at one window of an installation's counters, and charges nothing. */
export async function connectCounter(installation: Installation, window: WindowLimit): Promise<TokenCounter> {
  const connection = createRedisConnection({
    target: { kind: 'single', url: `redis://127.0.0.1:${installation.redis.port}` },
    now: Date.now,
  });
  await connection.waitUntilReady(10_000);
  const { keySecret } = installation;
  const consume = createRedisConsume({ connection, keySecret, now: Date.now, commandTimeoutMs: 2000 });
  const charges = [{ window, cost: 0 }];
  return {
    async charged(subject) {
      const { windows } = await consume({ subject, id: '', charges, deadlineAtMs: Date.now() + 2000 });
      return window.limit - (windows[0]?.remaining ?? Number.NaN);
    },
    close: connection.close,
  };
}

/** A metric of an authorizer; 0 while there is none by that name. */
export async function metric(authorizer: Pick<Authorizer, 'opsUrl'>, name: string): Promise<number> {
  const text = await (await fetch(`${authorizer.opsUrl}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

/** How many ends of requests have been dealt with, whatever came of them. */
export async function endsTold(authorizer: Pick<Authorizer, 'opsUrl'>): Promise<number> {
  const results = ['settled', 'kept', 'unknown', 'given_up'];
  const counts = await Promise.all(
    results.map((result) => metric(authorizer, `tiergate_reservations_total{result="${result}"}`)),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}
