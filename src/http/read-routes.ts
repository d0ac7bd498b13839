import type { WindowState } from '../check/limit.ts';
import { isDenied } from '../check/outcome.ts';
import { formatDuration } from '../duration.ts';
import type { Caller } from '../issue/caller.ts';
import type { ServedModel } from '../issue/models.ts';
import type { IssuerApp } from './issuer-app.ts';
import { refuse, refuseAsNotFound } from './refuse.ts';
import type { Authentication, TokenApi } from './token-api.ts';
import { errorBody, health, lookupAnswer, lookupRequest, modelList, usage, whoami } from './token-schemas.ts';

const refusals = { '4xx': errorBody, '5xx': errorBody };

/** What only tells: models, usage, whoami, tiers. Takes a token of the cluster or an access token. */
export function registerReadRoutes(app: IssuerApp, api: TokenApi, authentication: Authentication): void {
  const { callerOf, hook } = authentication;
  const common = { tags: ['caller'], security: [{ bearer: [] }] };

  app.route({
    method: 'GET',
    url: '/v1/models',
    schema: {
      ...common,
      summary: 'The models that you may use',
      response: { 200: modelList, ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const tier = api.assignTier(caller.principal.groups);
      if (isDenied(tier)) return refuse(reply, tier);
      const models = await api.listModels(caller, tier.name);
      void reply.header('cache-control', 'no-store');
      return reply.send({ object: 'list' as const, data: models.map(modelBody) });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/usage',
    schema: {
      ...common,
      summary: 'What you have left, window by window',
      response: { 200: usage, ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const { principal, subject, groups } = callerOf(request);
      const tier = api.assignTier(principal.groups);
      if (isDenied(tier)) return refuse(reply, tier);
      const { windows, boost } = await api.readUsage({ subject, tier, groups });
      void reply.header('cache-control', 'no-store');
      return reply.send({
        user: subject,
        tier: tier.name,
        unlimited: tier.windows.length === 0,
        ...(boost !== undefined && {
          boost: { percent: boost.percent, endsAfterSeconds: Math.ceil(boost.endsAfterMs / 1000) },
        }),
        windows: windows.map(windowBody),
      });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/whoami',
    schema: {
      ...common,
      summary: 'Who you are to the gateway',
      response: { 200: whoami, ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const tier = api.assignTier(caller.principal.groups);
      void reply.header('cache-control', 'no-store');
      return reply.send({
        ...identityBody(caller),
        ...(isDenied(tier) ? { tier: null } : { tier: tier.name, displayName: tier.displayName }),
      });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/tiers/lookup',
    schema: {
      ...common,
      summary: 'The tier that groups would give',
      body: lookupRequest,
      response: { 200: lookupAnswer, ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const tier = api.assignTier(request.body.groups);
      // Not a refusal of the caller, so the status that clients of MaaS know.
      if (isDenied(tier)) return refuseAsNotFound(reply, { ...tier, param: 'groups' });
      return reply.send({ tier: tier.name, displayName: tier.displayName });
    },
  });

  app.route({
    method: 'GET',
    url: '/health',
    schema: { tags: ['health'], summary: 'Whether the token API runs', response: { 200: health } },
    handler: async (_request, reply) => reply.send({ status: 'healthy' as const }),
  });
}

function identityBody({ principal, kind, subject }: Caller) {
  const { username, groups, jti, expiresAtMs } = principal;
  return {
    username,
    user: subject,
    groups: [...groups],
    token: {
      kind,
      ...(jti !== undefined && { jti }),
      ...(expiresAtMs !== undefined && { expiresAt: Math.floor(expiresAtMs / 1000) }),
    },
  };
}

function modelBody(model: ServedModel) {
  const { id, namespace, ready, url, useCase, description, displayName } = model;
  const details = {
    ...(useCase !== undefined && { genaiUseCase: useCase }),
    ...(description !== undefined && { description }),
    ...(displayName !== undefined && { displayName }),
  };
  return {
    id,
    created: Math.floor(model.createdAtMs / 1000),
    object: 'model' as const,
    owned_by: namespace,
    ...(url !== undefined && { url }),
    ready,
    ...(Object.keys(details).length > 0 && { modelDetails: details }),
  };
}

function windowBody({ window, remaining, resetAfterMs }: WindowState) {
  const { scope, unit, windowMs, limit, mode } = window;
  return {
    scope,
    unit,
    window: formatDuration(windowMs),
    limit,
    used: Math.max(0, limit - remaining),
    remaining,
    resetAfterSeconds: Math.ceil(resetAfterMs / 1000),
    mode,
  };
}
