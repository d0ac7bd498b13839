import { createServer, request, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Envoy } from '../real/envoy.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { chat, denial, outcome } from './send.ts';

/** Access log, open requests and the rate limit service, through real Envoys, two authorizers and one Redis. */
let installation: Installation;
let model: HeldModel;
let authorizers: readonly Authorizer[];
let gateways: readonly Envoy[];

const limit = 8;
const policy = `
- {name: free, groups: [system:authenticated], limits: {requests: [{limit: 10, window: 1m}]}}
- {name: premium, level: 10, groups: [], limits: {requests: unlimited, concurrency: ${limit}}}
- {name: enterprise, level: 20, groups: [], limits: {requests: [{limit: 2, window: 1h}], concurrency: 1}}
`;
const leaseMs = 4000;
const config = `limits: {slotLease: ${leaseMs / 1000}s}`;
const holdMs = 1000;

beforeAll(async () => {
  installation = await startInstallation();
  model = await startHeldModel();
  // Where Redis takes longer than a command may, each process counts alone, within its share: not what is looked at here.
  const options = { policy, config, deadlineMs: 5_000 };
  authorizers = [await installation.startAuthorizer(options), await installation.startAuthorizer(options)];
  gateways = await Promise.all(authorizers.map((authorizer) => startGateway(authorizer)));
});

afterAll(async () => {
  await installation.stop();
  await model.stop();
});

const startGateway = (authorizer: Pick<Authorizer, 'port'>) =>
  installation.startGateway(authorizer, { model: { port: model.port }, accessLog: {}, timeoutMs: 8_000 });

interface HeldModel {
  readonly port: number;
  readonly open: () => number;
  /** The most that were open at once since this was last asked. */
  readonly takeMost: () => number;
  readonly stop: () => Promise<void>;
}

/** Answers at once and ends after `x-hold` milliseconds, by default a second. */
async function startHeldModel(): Promise<HeldModel> {
  let open = 0;
  let most = 0;
  const server: Server = createServer((incoming, response) => {
    open += 1;
    most = Math.max(most, open);
    response.once('close', () => {
      open -= 1;
    });
    incoming.resume();
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: {}\n\n');
    setTimeout(() => response.end('data: [DONE]\n\n'), Number(incoming.headers['x-hold'] ?? holdMs));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    open: () => open,
    takeMost() {
      const seen = most;
      most = open;
      return seen;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface StreamOptions {
  /** Goes away after that time. */
  readonly abortAfterMs?: number;
  readonly holdForMs?: number;
}

/** One stream on a connection of its own: the status, or undefined where it was aborted before there was one. */
function stream(port: number, token: string, options: StreamOptions = {}): Promise<number | undefined> {
  return new Promise((resolve) => {
    let status: number | undefined;
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        method: 'POST',
        path: '/llm/llama/v1/chat/completions',
        agent: false,
        headers: { authorization: `Bearer ${token}`, 'x-hold': String(options.holdForMs ?? holdMs) },
      },
      (incoming) => {
        status = incoming.statusCode;
        incoming.resume();
        incoming.once('close', () => resolve(status));
      },
    );
    outgoing.once('error', () => resolve(status));
    outgoing.end('{}');
    if (options.abortAfterMs !== undefined) setTimeout(() => outgoing.destroy(), options.abortAfterMs);
  });
}

async function metric(authorizer: Pick<Authorizer, 'opsUrl'>, name: string): Promise<number> {
  const text = await (await fetch(`${authorizer.opsUrl}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

const someGateway = (index: number): Envoy => {
  const gateway = gateways[index % gateways.length];
  if (gateway === undefined) throw new Error('no gateway');
  return gateway;
};

describe('open requests', () => {
  it('never are more than the limit, with streams of a second and aborts, through two authorizers', async () => {
    const token = await installation.mint('alice', 'premium');
    await stream(someGateway(0).port, token, { holdForMs: 0 });
    await stream(someGateway(1).port, token, { holdForMs: 0 });
    await sleep(300);
    model.takeMost();
    const statuses: (number | undefined)[] = [];
    const endsAtMs = performance.now() + 6000;
    const client = async (index: number): Promise<void> => {
      while (performance.now() < endsAtMs) {
        const abortAfterMs = index % 3 === 0 ? 50 + Math.random() * 600 : undefined;
        const status = await stream(someGateway(index).port, token, {
          ...(abortAfterMs !== undefined && { abortAfterMs }),
        });
        statuses.push(status);
        if (status === 429) await sleep(50 + Math.random() * 100);
      }
    };
    await Promise.all(Array.from({ length: 24 }, (_, index) => client(index)));
    const count = (status: number) => statuses.filter((other) => other === status).length;
    expect(model.takeMost()).toBe(limit);
    // At least three fourths of what eight streams of a second let pass in six.
    expect(count(200)).toBeGreaterThan(limit * 6 * 0.75);
    expect(count(429)).toBeGreaterThan(0);
    expect(new Set(statuses)).toEqual(
      new Set([200, 429, ...(statuses.includes(undefined) ? [undefined] : [])]),
    );

    // All ended: none is stuck, long before any lease is over, but of those that went away while they were checked.
    await sleep(statuses.includes(undefined) ? leaseMs + 500 : 1_000);
    const again = await Promise.all(
      Array.from({ length: limit + 2 }, (_, i) => stream(someGateway(i).port, token)),
    );
    expect(again.filter((status) => status === 200)).toHaveLength(limit);
    expect(again.filter((status) => status === 429)).toHaveLength(2);
    await sleep(500);
  });

  it('one too many is refused in words, with a time to come again', async () => {
    const token = await installation.mint('bob', 'premium');
    const { port } = someGateway(0);
    const open = Array.from({ length: limit }, () => stream(port, token));
    await expect.poll(model.open).toBe(limit);
    const answer = await chat(port, token);
    expect(outcome(answer)).toEqual(denial(429, 'concurrency_exceeded'));
    expect(answer.headers['retry-after']).toBe('1');
    await Promise.all(open);
    await sleep(300);
  });

  it('a request that the windows deny has no slot', async () => {
    const token = await installation.mint('carol', 'enterprise');
    const { port } = someGateway(1);
    for (const expected of [200, 200, 429, 429]) {
      expect(await stream(port, token, { holdForMs: 0 })).toBe(expected);
      await sleep(250);
    }
    const last = await chat(port, token);
    expect(outcome(last)).toEqual(denial(429, 'requests_exceeded'));
  });

  it('whose end was never told are free again when their lease is over', async () => {
    const authorizer = await installation.startAuthorizer({ policy, config });
    const { port } = await startGateway(authorizer);
    const token = await installation.mint('dave', 'premium');
    const startedAtMs = performance.now();
    const open = Array.from({ length: limit }, () => stream(port, token, { holdForMs: 300 }));
    await expect.poll(model.open).toBe(limit);
    await authorizer.kill();
    await Promise.all(open);
    const other = someGateway(0).port;
    expect(await stream(other, token, { holdForMs: 0 })).toBe(429);
    await sleep(Math.max(0, leaseMs + 200 - (performance.now() - startedAtMs)));
    const after = await Promise.all(
      Array.from({ length: limit }, () => stream(other, token, { holdForMs: 300 })),
    );
    expect(after).toEqual(Array.from({ length: limit }, () => 200));
  });

  it('are ended by nobody whom the authorizer does not believe', async () => {
    const authorizer = await installation.startAuthorizer({
      policy,
      config: 'limits: {slotLease: 60s}',
      grpc: 'trust: [10.0.0.0/8]',
    });
    const { port } = await startGateway(authorizer);
    const token = await installation.mint('erin', 'enterprise');
    expect(await stream(port, token, { holdForMs: 0 })).toBe(200);
    await expect
      .poll(() => metric(authorizer, 'tiergate_access_log_events_total{event="foreign"}'))
      .toBeGreaterThan(0);
    expect(outcome(await chat(port, token))).toEqual(denial(429, 'concurrency_exceeded'));
    await authorizer.kill();
  });

  it('of 20 ms let as many pass as a flush in 100 ms allows', async () => {
    const token = await installation.mint('frank', 'premium');
    const { port } = someGateway(0);
    let passed = 0;
    const forMs = 4000;
    const endsAtMs = performance.now() + forMs;
    const client = async (): Promise<void> => {
      while (performance.now() < endsAtMs) {
        if ((await stream(port, token, { holdForMs: 20 })) === 200) passed += 1;
        else await sleep(10);
      }
    };
    await Promise.all(Array.from({ length: 12 }, client));
    const perSecond = passed / (forMs / 1000);
    process.stderr.write(
      `concurrency ${limit}, requests of 20 ms, flush 100 ms: ${perSecond.toFixed(1)}/s\n`,
    );
    // 8 / (20 ms + 100 ms) is the least that this promises; a busy machine is given half of it.
    expect(perSecond).toBeGreaterThan(33);
  });
});

describe('an access log stream', () => {
  it('does not keep an authorizer from ending in time', async () => {
    const authorizer = await installation.startAuthorizer({ policy, config });
    const { port } = await startGateway(authorizer);
    const token = await installation.mint('grace', 'premium');
    expect(await stream(port, token, { holdForMs: 0 })).toBe(200);
    await expect.poll(() => metric(authorizer, 'tiergate_access_log_streams')).toBeGreaterThan(0);
    await expect
      .poll(() => metric(authorizer, 'tiergate_slot_releases_total{result="released"}'))
      .toBeGreaterThan(0);
    const startedAtMs = performance.now();
    await authorizer.stop();
    // The drain delay is 5 s; SIGKILL would come after 10.
    expect(performance.now() - startedAtMs).toBeLessThan(8000);
    expect(await authorizer.log()).toContain('stopped');
  });
});

describe('the rate limit service behind a real Envoy', () => {
  it('charges what a descriptor asks for, and gives the client a body and a time', async () => {
    const [authorizer] = authorizers;
    if (authorizer === undefined) throw new Error('no authorizer');
    const { port } = await installation.startGateway(authorizer, {
      rateLimit: { hitsAddend: 3, timeoutMs: 1000 },
    });
    const token = await installation.mint('heidi', 'free');
    // Each costs one of ten by Check, and three more by the filter.
    expect((await chat(port, token)).headers['x-ratelimit-remaining-requests']).toBe('9');
    expect((await chat(port, token)).headers['x-ratelimit-remaining-requests']).toBe('5');
    const over = await chat(port, token);
    expect(outcome(over)).toEqual(denial(429, 'requests_exceeded'));
    expect(over.headers['content-type']).toBe('application/json');
    expect(Number(over.headers['retry-after'])).toBeGreaterThan(30);
    expect(over.error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' });
    expect(
      await metric(authorizer, 'tiergate_rate_limit_call_duration_seconds_count{result="over_limit"}'),
    ).toBe(1);
  });

  it('charges nothing for 0 hits', async () => {
    const [authorizer] = authorizers;
    if (authorizer === undefined) throw new Error('no authorizer');
    const { port } = await installation.startGateway(authorizer, {
      rateLimit: { hitsAddend: 0, timeoutMs: 1000 },
    });
    const token = await installation.mint('ivan', 'free');
    for (let left = 9; left >= 7; left -= 1) {
      expect((await chat(port, token)).headers['x-ratelimit-remaining-requests']).toBe(String(left));
    }
  });

  it("answers within the filter's own 20 ms, as a rule", async () => {
    const [authorizer] = authorizers;
    if (authorizer === undefined) throw new Error('no authorizer');
    const { port, stat } = await installation.startGateway(authorizer, {
      accessLog: {},
      rateLimit: { failureModeDeny: false },
    });
    const token = await installation.mint('judy', 'premium');
    for (let count = 0; count < 60; count += 1) {
      await stream(port, token, { holdForMs: 0 });
      // Slower than slots are freed.
      await sleep(20);
    }
    const ok = await stat('cluster.model.ratelimit.ok');
    const errors = await stat('cluster.model.ratelimit.error');
    process.stderr.write(`rate limit calls with 20 ms: ${ok} ok, ${errors} too late\n`);
    expect(ok).toBeGreaterThan(40);
  });
});
