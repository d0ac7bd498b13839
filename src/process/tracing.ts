import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context, TextMapGetter } from '@opentelemetry/api';
import type { CheckInput } from '../check/check-input.ts';
import type { Check } from '../check/check.ts';
import type { Outcome } from '../check/outcome.ts';
import { isDependencyError } from '../dependency-error.ts';

export interface TracingOptions {
  /** Of an OTLP collector; `/v1/traces` is added (OTLP specification, OTLP/HTTP request). Default `http://localhost:4318`. */
  readonly endpoint?: string | undefined;
  /** Share of the Checks that are traced whose caller has not decided it, from 0 to 1. */
  readonly sampleRatio: number;
  readonly version: string;
}

export interface Tracing {
  /** The same Check in a span, as a part of the trace that its request's `traceparent` names (W3C Trace Context). */
  readonly traced: (check: Check) => Check;
  /** A call of a dependency in a span below that of the Check that waits for it. A call that is answered at once is none. */
  readonly span: <T>(name: string, call: () => T) => T;
  /** Sends what is left. */
  readonly stop: () => Promise<void>;
}

/** What a Check must be given besides what its stages read. */
export const traceHeaders = ['traceparent', 'tracestate'] as const;

const defaultEndpoint = 'http://localhost:4318';

/** Loads OpenTelemetry, and is called only where traces are configured: without it nothing of this is on a request's way. */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const [
    { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace },
    { W3CTraceContextPropagator },
    sdk,
    otlp,
    resources,
  ] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/core'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const provider = new sdk.BasicTracerProvider({
    resource: resources.resourceFromAttributes({
      'service.name': 'tiergate-authorizer',
      'service.version': options.version,
    }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(options.sampleRatio) }),
    spanProcessors: [
      new sdk.BatchSpanProcessor(new otlp.OTLPTraceExporter({ url: tracesUrl(options.endpoint) })),
    ],
  });
  const tracer = provider.getTracer('tiergate', options.version);
  const propagator = new W3CTraceContextPropagator();
  /** Ours and not a global one: a library that finds a global tracer would trace our own exporter. */
  const current = new AsyncLocalStorage<Context>();

  return {
    traced: (check) => (input) => {
      const parent = propagator.extract(ROOT_CONTEXT, input.headers, headerGetter);
      const span = tracer.startSpan('tiergate.check', { kind: SpanKind.SERVER }, parent);
      const end = (outcome: Outcome): Outcome => {
        span.setAttributes(attributesOf(outcome, input));
        span.end();
        return outcome;
      };
      const outcome = current.run(trace.setSpan(parent, span), () => check(input));
      return outcome instanceof Promise ? outcome.then(end) : end(outcome);
    },
    span(name, call) {
      const parent = current.getStore();
      if (parent === undefined) return call();
      const startTime = Date.now();
      const answer = call();
      if (!(answer instanceof Promise)) return answer;
      const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, startTime }, parent);
      answer.then(
        () => span.end(),
        (error: unknown) => {
          // What a dependency says may hold what it was asked: the kind of its fault is enough.
          const code = isDependencyError(error) ? error.code : 'bug';
          span.setStatus({ code: SpanStatusCode.ERROR, message: code });
          span.setAttribute('error.type', code);
          span.end();
        },
      );
      return answer;
    },
    stop: () => provider.shutdown(),
  };
}

const headerGetter: TextMapGetter<ReadonlyMap<string, string>> = {
  get: (headers, key) => headers.get(key.toLowerCase()),
  keys: (headers) => [...headers.keys()],
};

/** Few values in each; never a user, a token or a path. */
function attributesOf(outcome: Outcome, { method }: CheckInput): Readonly<Record<string, string>> {
  return {
    'http.request.method': method,
    'tiergate.decision': outcome.denied ? 'denied' : 'allowed',
    ...(outcome.denied && { 'tiergate.reason': outcome.reason }),
    ...(outcome.tier !== undefined && { 'tiergate.tier': outcome.tier }),
    ...(outcome.model !== undefined && { 'tiergate.model': outcome.model.id }),
  };
}

function tracesUrl(endpoint: string = defaultEndpoint): string {
  return `${endpoint.replace(/\/+$/, '')}/v1/traces`;
}
