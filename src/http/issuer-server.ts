import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

import swagger from '@fastify/swagger';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { type FastifyReply, fastify } from 'fastify';

import { denied } from '../check/outcome.ts';
import { apiDescription, describeOptionalBody, registerApiPage } from './api-page.ts';
import { answerClientError } from './client-error.ts';
import type { IssuerApp } from './issuer-app.ts';
import { registerErrorHandlers, type ReportFault } from './issuer-errors.ts';
import { registerReadRoutes } from './read-routes.ts';
import { createThrottle } from './throttle.ts';
import { registerTokenRoutes } from './token-routes.ts';
import { registerUsageRoutes } from './usage-routes.ts';
import { createAuthentication, type TokenApi } from './token-api.ts';
import { refuse, refuseAsNotFound, refuseMethod } from './refuse.ts';

/** One request as it ended, for metrics: never a path as sent, never who asked. */
export interface RequestEnd {
  readonly method: string;
  /** The route's pattern, `/v1/tokens/:id`; `none` where nothing matched. */
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
}

export interface IssuerServerOptions extends TokenApi {
  /** Addresses or CIDRs of proxies whose `X-Forwarded-For` is believed. None by default: the peer is the client. */
  readonly trustedProxies: readonly string[];
  /** Requests of one source address a second, before anybody looks who it is. Behind an untrusted proxy all share one. */
  readonly perSourcePerSecond: number;
  /** Requests of one user a second. */
  readonly perUserPerSecond: number;
  /** For a request's head and body to arrive, in milliseconds. Default 15 000; answers may take longer. */
  readonly requestTimeoutMs?: number;
  /** An exception that is a bug, or a dependency that could not tell: for log and metrics. */
  readonly reportFault: ReportFault;
  readonly observeRequest: (end: RequestEnd) => void;
}

export interface IssuerServer {
  /** Port 0 takes a free one. Resolves with where it listens. */
  readonly listen: (where: { readonly host: string; readonly port: number }) => Promise<IssuerAddress>;
  /** Undefined until it listens. */
  readonly address: () => IssuerAddress | undefined;
  /**
   * Takes no new connection, ends idle ones, lets requests at work finish; when the signal aborts, cuts them off.
   * Safe to call twice.
   */
  readonly close: (signal?: AbortSignal) => Promise<void>;
}

export interface IssuerAddress {
  readonly host: string;
  readonly port: number;
}

/** The largest body that is read; one byte more is `body_too_large`. */
const bodyLimitBytes = 1024 * 1024;

/** Tokens of OIDC providers with many groups come near 12 KiB. */
const maxHeaderBytes = 32 * 1024;

/** What existing installations put in front of every path. */
const prefix = '/maas-api';

/**
 * Wired as `createIssuerServer({ ...createTokenApi({ client, policy, consume, ... }), trustedProxies, ... })`
 * (programs/token-api.ts), then `listen({ host, port })`, `address()`, `close()`.
 *
 * The token API over HTTP, at `/v1/...` and `/maas-api/v1/...` alike. Who asks is told by the bearer token alone; no
 * header of a gateway is believed.
 */
export function createIssuerServer(options: IssuerServerOptions): IssuerServer {
  const app = createApp(options);
  let closing: Promise<void> | undefined;

  function address(): IssuerAddress | undefined {
    const bound = app.server.address();
    return bound === null || typeof bound === 'string'
      ? undefined
      : { host: bound.address, port: bound.port };
  }

  return {
    listen: async ({ host, port }) => {
      await app.listen({ host, port });
      const bound = address();
      if (bound === undefined) throw new Error('the server of the token API has no address');
      return bound;
    },
    address,
    close: (signal) => {
      const cutOff = (): void => app.server.closeAllConnections();
      if (signal?.aborted === true) cutOff();
      signal?.addEventListener('abort', cutOff, { once: true });
      closing ??= app.close();
      return closing;
    },
  };
}

function createApp(options: IssuerServerOptions): IssuerApp {
  const { requestTimeoutMs = 15_000 } = options;
  const app: IssuerApp = fastify({
    logger: false,
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    http: {
      headersTimeout: requestTimeoutMs,
      connectionsCheckingInterval: 250,
      maxHeaderSize: maxHeaderBytes,
    },
    clientErrorHandler: answerClientError,
    keepAliveTimeout: 60_000,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    // Longer than the id of any token; whatever is none is not found.
    routerOptions: { maxParamLength: 1024 },
    genReqId: requestId,
    trustProxy: options.trustedProxies.length === 0 ? false : [...options.trustedProxies],
    frameworkErrors: (_error, _request, reply) =>
      void refuse(reply, denied('path_invalid', 'The path can not be read.')),
    rewriteUrl: ({ url = '/' }) => withoutPrefix(url),
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        allowUnionTypes: true,
      },
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  const perSource = createThrottle({ perSecond: options.perSourcePerSecond, what: 'your address' });
  const authentication = createAuthentication(options.identify, options.perUserPerSecond);

  acceptJsonOfAnyType(app);
  registerErrorHandlers(app, options.reportFault);
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id);
    const tooMany = await perSource(sourceKey(request.ip));
    return tooMany === undefined ? undefined : refuse(reply, tooMany);
  });
  app.addHook('onResponse', async (request, reply) => {
    options.observeRequest({
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      durationMs: reply.elapsedTime,
    });
  });
  app.setNotFoundHandler(async (_request, reply) =>
    refuseAsNotFound(
      reply,
      denied('path_invalid', 'The token API has no such path, or not with this method.'),
    ),
  );
  void app.register(swagger, {
    openapi: apiDescription,
    convertConstToEnum: false,
    transformObject: describeOptionalBody,
  });
  void app.register(async (scope: IssuerApp) => {
    const methodsByPath = collectMethods(scope);
    registerTokenRoutes(scope, options, authentication);
    registerReadRoutes(scope, options, authentication);
    registerUsageRoutes(scope, options, authentication);
    registerApiPage(scope);
    for (const [url, methods] of methodsByPath) refuseOtherMethods(app, url, methods);
  });
  return app;
}

/** Filled as routes are added to the scope. */
function collectMethods(scope: IssuerApp): ReadonlyMap<string, ReadonlySet<string>> {
  const methodsByPath = new Map<string, Set<string>>();
  scope.addHook('onRoute', ({ url, method }) => {
    const methods = methodsByPath.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    methodsByPath.set(url, methods);
  });
  return methodsByPath;
}

function refuseOtherMethods(app: IssuerApp, url: string, methods: ReadonlySet<string>): void {
  const others = app.supportedMethods.filter((method) => !methods.has(method));
  const allow = [...methods].join(', ');
  const refuseIt = async (_request: unknown, reply: FastifyReply): Promise<FastifyReply> =>
    refuseMethod(reply, allow);
  // In front of the body: nobody waits for one that is of no use.
  app.route({ method: others, url, schema: { hide: true }, onRequest: refuseIt, handler: refuseIt });
}

/** Clients of MaaS send JSON under whatever type their tool puts there (curl: a form's), and empty bodies. */
function acceptJsonOfAnyType(app: IssuerApp): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, body.toString(), done);
  });
}

/** By whole segments: `/maas-apis` is another path. */
function withoutPrefix(url: string): string {
  if (!url.startsWith(prefix)) return url;
  const rest = url.slice(prefix.length);
  if (rest === '') return '/';
  return rest.startsWith('/') || rest.startsWith('?') ? rest : url;
}

const acceptableId = /^[\w.:-]{1,128}$/;

/** The caller's own id where it can stand in a log line as it is. */
function requestId(request: IncomingMessage): string {
  const sent = request.headers['x-request-id'];
  return typeof sent === 'string' && acceptableId.test(sent) ? sent : randomUUID();
}

/** One subscriber has 2^64 addresses of IPv6: the network counts, not the address. */
function sourceKey(address: string): string {
  if (isIP(address) !== 6 || address.includes('.')) return address;
  const [head = '', tail = ''] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0');
  return [...left, ...zeros, ...right].slice(0, 4).join(':');
}
