import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from '../../src/check/check.ts';
import { denied } from '../../src/check/outcome.ts';
import { DependencyError } from '../../src/dependency-error.ts';
import { startTracing, type Tracing } from '../../src/process/tracing.ts';
import { checkInput } from '../support/check-input.ts';

interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
  readonly status: { readonly code?: number; readonly message?: string };
}

/** ExportTraceServiceRequest of opentelemetry-proto, as JSON. */
interface Export {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[];
}

let collector: Server;
let bodies: string[];
let paths: string[];
let tracing: Tracing;

beforeEach(async () => {
  bodies = [];
  paths = [];
  collector = createServer((request, response) => {
    paths.push(request.url ?? '');
    void text(request)
      .then((body) => bodies.push(body))
      .finally(() => response.end('{}'));
  });
  collector.listen({ host: '127.0.0.1', port: 0 });
  await once(collector, 'listening');
});

afterEach(() => {
  collector.closeAllConnections();
  collector.close();
});

async function start(sampleRatio = 1): Promise<void> {
  const { port } = collector.address() as AddressInfo;
  tracing = await startTracing({ endpoint: `http://127.0.0.1:${port}/`, sampleRatio, version: '0' });
}

async function spans(): Promise<readonly Span[]> {
  await tracing.stop();
  return bodies.flatMap((body) =>
    (JSON.parse(body) as Export).resourceSpans.flatMap(({ scopeSpans }) =>
      scopeSpans.flatMap((scope) => scope.spans),
    ),
  );
}

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const input = checkInput({ headers: { traceparent: `00-${traceId}-${parentId}-01` } });

const secretUser = 'alice@example.com';

describe('traces', () => {
  it('are parts of the caller\u2019s, with a span for each call that a Check waits for', async () => {
    await start();
    const check: Check = async () => {
      await tracing.span('token_review', () => Promise.resolve('yes'));
      await Promise.all([
        tracing.span('redis', () => Promise.resolve(1)),
        tracing
          .span('subject_access_review', () =>
            Promise.reject(new DependencyError('kubernetes', 'timeout', { detail: secretUser })),
          )
          .catch(() => undefined),
      ]);
      return { ...denied('access_unavailable', 'no'), subject: secretUser, tier: 'free' };
    };
    expect(await tracing.traced(check)(input)).toMatchObject({ reason: 'access_unavailable' });
    const found = await spans();
    expect(paths).toEqual(['/v1/traces']);
    const root = found.find(({ name }) => name === 'tiergate.check');
    expect(root).toMatchObject({ traceId, parentSpanId: parentId });
    expect(found.map(({ name }) => name).sort()).toEqual([
      'redis',
      'subject_access_review',
      'tiergate.check',
      'token_review',
    ]);
    for (const span of found.filter(({ name }) => name !== 'tiergate.check')) {
      expect(span).toMatchObject({ traceId, parentSpanId: root?.spanId });
    }
    expect(found.find(({ name }) => name === 'subject_access_review')?.status).toEqual({
      code: 2,
      message: 'timeout',
    });
    expect(root?.attributes).toContainEqual({
      key: 'tiergate.reason',
      value: { stringValue: 'access_unavailable' },
    });
    expect(bodies.join('')).not.toContain(secretUser);
  });

  it('have no span for what is answered at once, and leave a Check as synchronous as it is', async () => {
    await start();
    const check: Check = () => {
      tracing.span('redis', () => 1);
      return { denied: false, kind: 'public', windows: [] };
    };
    expect(tracing.traced(check)(input)).toEqual({ denied: false, kind: 'public', windows: [] });
    expect((await spans()).map(({ name }) => name)).toEqual(['tiergate.check']);
  });

  it('follow the caller\u2019s decision, and else the ratio', async () => {
    await start(0);
    const check: Check = () => ({ denied: false, kind: 'public', windows: [] });
    void tracing.traced(check)(checkInput());
    void tracing.traced(check)(checkInput({ headers: { traceparent: `00-${traceId}-${parentId}-00` } }));
    void tracing.traced(check)(checkInput({ headers: { traceparent: 'garbage' } }));
    void tracing.traced(check)(input);
    expect((await spans()).map((span) => span.traceId)).toEqual([traceId]);
  });

  it('cost nothing outside of a Check', async () => {
    await start();
    expect(await tracing.span('redis', () => Promise.resolve(1))).toBe(1);
    expect(await spans()).toEqual([]);
  });
});
