import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadService } from '../../src/envoy/load-service.ts';
import type { WindowLimit } from '../../src/policy/policy.ts';
import { createModelServer, type ModelServer } from '../../src/sandbox/model-server.ts';
import { callUnary, createServiceClient } from '../envoy/service-client.ts';
import type { Envoy } from '../real/envoy.ts';
import { channels, startDeployedGateway } from './deployed-gateway.ts';
import { type Authorizer, type Installation, startInstallation } from './installation.ts';
import { ask, connectCounter, metric, type TokenCounter } from './token-world.ts';

/** Authorizers that die, and ends that are told wrongly: two authorizer processes, real Envoys, one Redis. */
let installation: Installation;
let authorizers: { readonly first: Authorizer; readonly second: Authorizer };
let model: ModelServer;
let modelPort: number;
let hourly: TokenCounter;
let brief: TokenCounter;

const window: WindowLimit = {
  scope: '*',
  unit: 'tokens',
  windowMs: 3_600_000,
  limit: 100_000,
  mode: 'enforce',
};
const briefMs = 15_000;
const reservationTtlMs = 10_000;
const policy = `
- {name: premium, level: 10, groups: [], limits: {requests: unlimited, tokens: [{limit: 100000, window: 1h}]}}
- {name: enterprise, level: 20, groups: [], limits: {requests: unlimited, tokens: [{limit: 100000, window: ${briefMs / 1000}s}]}}
`;
const config = `limits: {reservationTtl: ${reservationTtlMs / 1000}s}`;

/** For machines that are busy otherwise. */
const patiently = { timeout: 15_000 };

/** What a request here is charged in advance, and what it uses. */
const reserved = 200;
const used = 24;

const messages = [{ role: 'user', content: 'one two three' }];
const chat = { body: { model: 'llama', messages, max_tokens: 100 } };
const stream = { body: { ...chat.body, stream: true, stream_options: { include_usage: true } } };

beforeAll(async () => {
  installation = await startInstallation();
  authorizers = {
    first: await installation.startAuthorizer({ policy, config }),
    second: await installation.startAuthorizer({ policy, config }),
  };
  hourly = await connectCounter(installation, window);
  brief = await connectCounter(installation, { ...window, windowMs: briefMs });
  model = createModelServer({ chunkDelayMs: 100 });
  ({ port: modelPort } = await model.start());
});

afterAll(async () => {
  await Promise.all([hourly.close(), brief.close()]);
  await installation.stop();
  await model.stop();
});

const results = (authorizer: Authorizer, result: string) =>
  metric(authorizer, `tiergate_reservations_total{result="${result}"}`);

describe('an authorizer that is killed in the middle of streams', () => {
  it('breaks none of them, and leaves them charged, however their ends would have been told', async () => {
    const worlds: { channel: string; dying: Authorizer; gateway: Envoy; user: string; token: string }[] = [];
    for (const channel of channels) {
      const dying = await installation.startAuthorizer({ policy, config });
      const gateway = await startDeployedGateway(channel, { authorizer: dying.port, model: modelPort });
      const user = `streams by ${channel}`;
      worlds.push({ channel, dying, gateway, user, token: await installation.mint(user, 'enterprise') });
    }
    await Promise.all(
      worlds.map(async ({ channel, dying, gateway, user, token }) => {
        const startedAtMs = performance.now();
        const streams = Array.from({ length: 12 }, () => ask(gateway.port, token, stream));
        await expect.poll(() => brief.charged(user), patiently).toBe(12 * reserved);
        await sleep(500);
        const killedAtMs = performance.now();
        await dying.kill();
        const heard = await Promise.all(streams);
        expect(heard.map(({ status, isWhole }) => ({ status, isWhole }))).toEqual(
          heard.map(() => ({ status: 200, isWhole: true })),
        );
        for (const { bytes } of heard) expect(bytes.toString()).toMatch(/data: \[DONE\]\n\n$/);
        const gaps = heard.map(({ partsAtMs }) => gapsOf(partsAtMs, killedAtMs));
        process.stderr.write(
          `${channel}, chunks every 100 ms: longest gap ${longest(gaps, 'before')} ms before the authorizer was killed, ${longest(gaps, 'after')} ms after\n`,
        );
        // They went on.
        expect(gaps.every(({ after }) => after > 0)).toBe(true);

        await sleep(1000);
        expect(await brief.charged(user)).toBe(12 * reserved);
        // As any charge: gone when it is one window old, and not before.
        await sleep(Math.max(0, briefMs - (performance.now() - startedAtMs)));
        await expect.poll(() => brief.charged(user), patiently).toBe(0);
        await gateway.stop();
      }),
    );
  });
});

function gapsOf(partsAtMs: readonly number[], killedAtMs: number) {
  const gaps = partsAtMs.slice(1).map((atMs, index) => ({ atMs, ms: atMs - (partsAtMs[index] ?? atMs) }));
  const longestOf = (some: typeof gaps) => Math.max(0, ...some.map(({ ms }) => ms));
  return {
    before: longestOf(gaps.filter(({ atMs }) => atMs <= killedAtMs)),
    after: longestOf(gaps.filter(({ atMs }) => atMs > killedAtMs)),
  };
}

const longest = (gaps: readonly ReturnType<typeof gapsOf>[], when: 'before' | 'after') =>
  Math.max(...gaps.map((gap) => gap[when])).toFixed(0);

describe('what is reserved at one authorizer', () => {
  it('is settled at another', async () => {
    const { first, second } = authorizers;
    const gateway = await startDeployedGateway('access-log', {
      authorizer: first.port,
      model: modelPort,
      settler: second.port,
    });
    const token = await installation.mint('both', 'premium');
    const before = { first: await results(first, 'settled'), second: await results(second, 'settled') };
    expect((await ask(gateway.port, token, stream)).status).toBe(200);
    await expect.poll(() => hourly.charged('both'), patiently).toBe(used);
    expect(await results(first, 'settled')).toBe(before.first);
    expect(await results(second, 'settled')).toBe(before.second + 1);
    await gateway.stop();
  });
});

/** Told by hand, over the authorizers' own doors, what Envoy would tell. */
describe('the end of a request', () => {
  let gateway: Envoy;
  beforeAll(async () => {
    // Asks, and tells no end.
    gateway = await installation.startGateway(authorizers.first, { tokens: 'access-log' });
  });
  afterAll(() => gateway.stop());

  /** A request that has been answered, and of which nobody has told. */
  async function reserve(user: string): Promise<string> {
    const token = await installation.mint(user, 'premium');
    const before = await hourly.charged(user);
    expect((await ask(gateway.port, token, chat)).status).toBe(200);
    expect(await hourly.charged(user)).toBe(before + reserved);
    return String(installation.modelRequests.at(-1)?.headers['x-tiergate-reservation']);
  }

  it('told again, by the same and by another authorizer, changes nothing', async () => {
    const { first, second } = authorizers;
    const id = await reserve('twice');
    const unknown = { first: await results(first, 'unknown'), second: await results(second, 'unknown') };
    await tell(first, entry(id, used));
    await expect.poll(() => hourly.charged('twice'), patiently).toBe(used);
    await tell(first, entry(id, used), entry(id, 90));
    await tell(second, entry(id, 0), entry(id, undefined));
    await expect.poll(() => results(first, 'unknown'), patiently).toBe(unknown.first + 2);
    await expect.poll(() => results(second, 'unknown'), patiently).toBe(unknown.second + 1);
    expect(await hourly.charged('twice')).toBe(used);
  });

  it('told out of order comes to the same total', async () => {
    const { first, second } = authorizers;
    const ids = [await reserve('order'), await reserve('order'), await reserve('order')];
    const [one = '', two = '', three = ''] = ids;
    expect(await hourly.charged('order')).toBe(3 * reserved);
    // Without usage, and then with; the last first, and at two authorizers.
    await tell(second, entry(three, 30), entry(one, undefined));
    await expect.poll(() => hourly.charged('order'), patiently).toBe(2 * reserved + 30);
    await tell(first, entry(two, 20), entry(one, 10));
    await expect.poll(() => hourly.charged('order'), patiently).toBe(60);
    await tell(second, entry(one, undefined), entry(two, undefined));
    await sleep(300);
    expect(await hourly.charged('order')).toBe(60);
  });

  it('told too late changes nothing: the request stays charged as reserved', async () => {
    const { first } = authorizers;
    const id = await reserve('late');
    const unknown = await results(first, 'unknown');
    await sleep(reservationTtlMs + 1500);
    await tell(first, entry(id, used));
    await expect.poll(() => results(first, 'unknown'), patiently).toBe(unknown + 1);
    expect(await hourly.charged('late')).toBe(reserved);
  });

  it('with a forged id changes nothing, and is counted', async () => {
    const { first } = authorizers;
    const id = await reserve('forged');
    const [tag = ''] = id.split('.');
    const random = () => randomBytes(16).toString('base64url');
    const forged = [`${tag}.${random()}`, `${random()}.${random()}`, `${tag}.`, `${id}x`, '*', ''];
    const unknown = await results(first, 'unknown');
    await tell(first, ...forged.map((one) => entry(one, 0)));
    await expect.poll(() => results(first, 'unknown'), patiently).toBe(unknown + forged.length);
    expect(await hourly.charged('forged')).toBe(reserved);
    await tell(first, entry(id, used));
    await expect.poll(() => hourly.charged('forged'), patiently).toBe(used);
  });

  it('told by the rate limit service is no refund without a charge', async () => {
    const { first } = authorizers;
    const id = await reserve('refund');
    const kept = await results(first, 'kept');
    await call(first, id, { reserved: -reserved });
    await expect.poll(() => results(first, 'kept'), patiently).toBe(kept + 1);
    expect(await hourly.charged('refund')).toBe(reserved);
    await call(first, randomBytes(16).toString('base64url'), { reserved: -reserved, total_tokens: 0 });
    expect(await hourly.charged('refund')).toBe(reserved);
    await call(first, id, { reserved: -reserved, total_tokens: used });
    await expect.poll(() => hourly.charged('refund'), patiently).toBe(used);
    await call(first, id, { reserved: -reserved, total_tokens: 0 });
    await sleep(300);
    expect(await hourly.charged('refund')).toBe(used);
  });
});

/** An entry of Envoy's access log. */
function entry(reservationId: string, totalTokens: number | undefined) {
  const tiergate = totalTokens === undefined ? {} : { total_tokens: { numberValue: totalTokens } };
  return {
    common_properties: {
      access_log_type: 'DownstreamEnd',
      metadata: {
        filter_metadata: {
          'envoy.filters.http.ext_authz': { fields: { reservation_id: { stringValue: reservationId } } },
          tiergate: { fields: tiergate },
        },
      },
    },
    response: { response_code: { value: 200 }, response_body_bytes: 10 },
  };
}

/** One access log stream that holds these entries; resolves when the authorizer has read them. */
function tell(authorizer: Authorizer, ...entries: readonly object[]): Promise<void> {
  const service = 'envoy.service.accesslog.v3.AccessLogService';
  const definition = loadService('envoy/service/accesslog/v3/als.proto', service);
  const method = definition['StreamAccessLogs'];
  const client = createServiceClient(definition, `127.0.0.1:${authorizer.port}`);
  return new Promise((resolve, reject) => {
    const logging = client.makeClientStreamRequest<object, object>(
      `/${service}/StreamAccessLogs`,
      (message) => method?.requestSerialize(message) as Buffer,
      () => ({}),
      (error) => (error === null ? resolve() : reject(error)),
    );
    logging.write({ http_logs: { log_entry: entries } });
    logging.end();
  });
}

/** A call as Envoy's ratelimit filter makes it; a negative number is a refund. */
async function call(
  authorizer: Authorizer,
  reservation: string,
  units: Readonly<Record<string, number>>,
): Promise<void> {
  const definition = loadService(
    'envoy/service/ratelimit/v3/rls.proto',
    'envoy.service.ratelimit.v3.RateLimitService',
  );
  const client = createServiceClient(definition, `127.0.0.1:${authorizer.port}`);
  const descriptors = Object.entries(units).map(([usage, number]) => ({
    entries: [
      { key: 'reservation', value: reservation },
      { key: 'usage', value: usage },
    ],
    hits_addend: { value: Math.abs(number) },
    is_negative_hits: number < 0,
  }));
  await callUnary(client, { definition, method: 'ShouldRateLimit' }, { domain: 'tiergate', descriptors });
}
