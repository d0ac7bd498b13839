import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';

import { type Denied, isDenied } from '../check/outcome.ts';
import { parseDuration } from '../duration.ts';
import type { UsageTarget } from '../issue/adjust-usage.ts';
import type { AuditRecord } from '../issue/audit.ts';
import { invalidRequest } from '../issue/invalid-request.ts';
import { refusalOf } from './issuer-errors.ts';
import type { IssuerApp } from './issuer-app.ts';
import { refuse } from './refuse.ts';
import type { Authentication, TokenApi } from './token-api.ts';
import { boosted, boostBody, errorBody, ofTarget, resetBody } from './token-schemas.ts';

const refusals = { '4xx': errorBody, '5xx': errorBody };

interface Asked {
  readonly user?: string;
  readonly group?: string;
  readonly model?: string;
}

/** What administrators do for one person, team or model. Takes a token of the cluster, never an access token. */
export function registerUsageRoutes(app: IssuerApp, api: TokenApi, { callerOf, hook }: Authentication): void {
  const common = { tags: ['administration'], security: [{ bearer: [] }] };

  /** Who may is asked first: nobody else learns how a request would have to look. Audited whichever way it ends. */
  async function adjust<Done extends object>(
    request: FastifyRequest,
    asked: Asked,
    what: Pick<AuditRecord, 'action' | 'why'>,
    act: (
      target: UsageTarget,
    ) => Promise<{ readonly result: Done | Denied; readonly about: Partial<AuditRecord> }>,
  ): Promise<Done | Denied> {
    const { principal, kind } = callerOf(request);
    const target = targetFrom(asked);
    const user = isDenied(target) ? '' : `${target.kind === 'user' ? '' : `${target.kind}:`}${target.name}`;
    const record = {
      ...what,
      actor: principal.username,
      user,
      tokenIds: [],
      source: request.ip,
      requestId: request.id,
    };
    try {
      const refused =
        kind === 'access' ? api.checkMayMint(callerOf(request)) : await api.adjustUsage.check(principal);
      const { result, about } =
        refused !== undefined || isDenied(target)
          ? { result: refused ?? (target as Denied), about: {} }
          : await act(target);
      api.audit({ ...record, ...about, outcome: isDenied(result) ? result.reason : 'done' });
      return result;
    } catch (error) {
      api.audit({ ...record, outcome: refusalOf(error).reason });
      throw error;
    }
  }

  app.route({
    method: 'POST',
    url: '/v1/usage/boost',
    schema: {
      ...common,
      summary: 'Raise every limit of a person, team or model for a time',
      body: boostBody,
      response: { 200: boosted, ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const { percent, duration, reason } = request.body;
      const outcome = await adjust(
        request,
        request.body,
        { action: 'boost', why: reason },
        async (target) => {
          const durationMs = durationFrom(duration);
          if (typeof durationMs !== 'number') return { result: durationMs, about: {} };
          const expiresAtMs = Date.now() + durationMs;
          const result = await api.adjustUsage.boost(target, { percent, durationMs });
          return {
            result: isDenied(result) ? result : { percent, expiresAtMs },
            about: { percent, expiresAtMs },
          };
        },
      );
      if (isDenied(outcome)) return refuse(reply, outcome);
      const endsAt = Math.floor(outcome.expiresAtMs / 1000);
      return reply.header('cache-control', 'no-store').send({ percent: outcome.percent, endsAt });
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/usage/boost',
    schema: {
      ...common,
      summary: 'End a boost before its time',
      querystring: ofTarget,
      response: { 204: Type.Null(), ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const outcome = await adjust(request, request.query, { action: 'end_boost' }, async (target) => {
        await api.adjustUsage.endBoost(target);
        return { result: target, about: {} };
      });
      return isDenied(outcome) ? refuse(reply, outcome) : reply.code(204).send(null);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/usage/reset',
    schema: {
      ...common,
      summary: 'Forget what a person, team or model has used so far',
      body: resetBody,
      response: { 204: Type.Null(), ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const { reason } = request.body;
      const outcome = await adjust(
        request,
        request.body,
        { action: 'reset', why: reason },
        async (target) => {
          await api.adjustUsage.reset(target);
          return { result: target, about: {} };
        },
      );
      return isDenied(outcome) ? refuse(reply, outcome) : reply.code(204).send(null);
    },
  });
}

function targetFrom({ user, group, model }: Asked): UsageTarget | Denied {
  const targets = [
    { kind: 'user' as const, name: user },
    { kind: 'group' as const, name: group },
    { kind: 'model' as const, name: model },
  ].flatMap(({ kind, name }) => (name === undefined ? [] : [{ kind, name }]));
  const [target] = targets;
  return target === undefined || targets.length > 1
    ? invalidRequest('user', 'Exactly one of user, group and model must be named.')
    : target;
}

function durationFrom(text: string): number | Denied {
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof RangeError) return invalidRequest('duration', error.message);
    throw error;
  }
}
