import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';

import { type Denied, isDenied } from '../check/outcome.ts';
import type { AdminVerb } from '../issue/administer.ts';
import type { AuditRecord } from '../issue/audit.ts';
import type { Caller } from '../issue/caller.ts';
import { formatGoDuration } from '../issue/go-duration.ts';
import { tierOfNamespace } from '../issue/account.ts';
import type { ListedToken } from '../issue/list-tokens.ts';
import type { MintedToken } from '../issue/mint.ts';
import { refusalOf } from './issuer-errors.ts';
import type { IssuerApp } from './issuer-app.ts';
import { refuse } from './refuse.ts';
import type { Authentication, TokenApi } from './token-api.ts';
import { errorBody, mintBody, mintedToken, ofUser, tokenList, tokenParams } from './token-schemas.ts';

const refusals = { '4xx': errorBody, '5xx': errorBody };

/** Minting, listing and revoking: all of `/v1/tokens`. Takes a token of the cluster, never an access token. */
export function registerTokenRoutes(app: IssuerApp, api: TokenApi, authentication: Authentication): void {
  const { callerOf, hook } = authentication;
  const common = { tags: ['tokens'], security: [{ bearer: [] }] };

  async function mayManage(caller: Caller, user: string, verb: AdminVerb): Promise<Denied | undefined> {
    const refused = api.checkMayMint(caller);
    if (refused !== undefined || user === caller.principal.username) return refused;
    return api.checkMayAdminister(caller.principal, verb);
  }

  app.route({
    method: 'POST',
    url: '/v1/tokens',
    schema: {
      ...common,
      summary: 'Mint an access token',
      body: mintBody,
      response: { 201: mintedToken, ...refusals },
    },
    onRequest: hook,
    preValidation: emptyBodyAsDefaults,
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const { principal } = caller;
      const user = principal.username;
      const outcome = await audited(api, request, { action: 'mint', actor: user, user }, async () => {
        const minted = api.checkMayMint(caller) ?? (await api.mint({ principal, ...request.body }));
        return { result: minted, about: isDenied(minted) ? {} : aboutMinted(minted) };
      });
      if (isDenied(outcome)) return refuse(reply, outcome);
      void reply.header('cache-control', 'no-store');
      return reply.code(201).send(mintedBody(outcome));
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/tokens',
    schema: {
      ...common,
      summary: 'List your tokens: metadata only',
      querystring: ofUser,
      response: { 200: tokenList, ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const actor = caller.principal.username;
      const user = request.query.user ?? actor;
      const outcome = await audited(api, request, { action: 'list', actor, user }, async () => {
        const result = (await mayManage(caller, user, 'list')) ?? (await api.listTokens(user));
        return { result, about: {} };
      });
      if (isDenied(outcome)) return refuse(reply, outcome);
      return reply.send({ object: 'list' as const, data: outcome.map(listedBody) });
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/tokens/:id',
    schema: {
      ...common,
      summary: 'Revoke one token',
      params: tokenParams,
      querystring: ofUser,
      response: { 204: Type.Null(), ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const actor = caller.principal.username;
      const user = request.query.user ?? actor;
      const { id } = request.params;
      // What stands in the path is the client's word, and may be a whole token: only an id is written down.
      const what = { action: 'revoke', actor, user, tokenIds: idShape.test(id) ? [id] : [] } as const;
      const outcome = await audited(api, request, what, async () => {
        const result = (await mayManage(caller, user, 'delete')) ?? (await api.revokeToken(user, id));
        const tier = isDenied(result) ? undefined : tierOfNamespace(api.instance, result.namespace);
        return { result, about: tier === undefined ? {} : { tier } };
      });
      return isDenied(outcome) ? refuse(reply, outcome) : reply.code(204).send(null);
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/tokens',
    schema: {
      ...common,
      summary: 'Revoke all of your tokens, in every tier',
      querystring: ofUser,
      response: { 204: Type.Null(), ...refusals },
    },
    onRequest: hook,
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const actor = caller.principal.username;
      const user = request.query.user ?? actor;
      const outcome = await audited(api, request, { action: 'revoke_all', actor, user }, async () => {
        const refused = await mayManage(caller, user, 'delete');
        if (refused !== undefined) return { result: refused, about: {} };
        const tokens = await api.listTokens(user);
        const result = await api.endAccounts(user);
        return { result, about: { tokenIds: tokens.map(({ id }) => id) } };
      });
      return isDenied(outcome) ? refuse(reply, outcome) : reply.code(204).send(null);
    },
  });
}

/** See TokenRecord. */
const idShape = /^[0-9a-f]{32}$/;

type AuditSubject = Pick<AuditRecord, 'action' | 'actor' | 'user'> & Partial<Pick<AuditRecord, 'tokenIds'>>;
type AuditFindings = Partial<Pick<AuditRecord, 'tokenIds' | 'tier' | 'expiresAtMs'>>;

/** Does it, and writes down how it ended, whichever way it ends. */
async function audited<T extends object>(
  api: TokenApi,
  request: FastifyRequest,
  what: AuditSubject,
  act: () => Promise<{ readonly result: T | Denied; readonly about: AuditFindings }>,
): Promise<T | Denied> {
  const record = { tokenIds: [], ...what, source: request.ip, requestId: request.id };
  try {
    const { result, about } = await act();
    api.audit({ ...record, ...about, outcome: isDenied(result) ? result.reason : 'done' });
    return result;
  } catch (error) {
    api.audit({ ...record, outcome: refusalOf(error).reason });
    throw error;
  }
}

/** No body, and `null`, ask for the defaults. */
async function emptyBodyAsDefaults(request: FastifyRequest): Promise<void> {
  request.body ??= {};
}

function aboutMinted({ id, tier, expiresAtMs }: MintedToken): AuditFindings {
  return { tokenIds: [id], tier, expiresAtMs };
}

function mintedBody(minted: MintedToken) {
  const { id, token, jti, tier, name } = minted;
  return {
    token: token.reveal(),
    expiration: formatGoDuration(minted.lifetimeMs),
    expiresAt: seconds(minted.expiresAtMs),
    issuedAt: seconds(minted.issuedAtMs),
    jti,
    id,
    tier,
    ...(name !== undefined && { name }),
  };
}

function listedBody(listed: ListedToken) {
  const { id, jti, name, description, tier } = listed;
  return {
    object: 'token' as const,
    id,
    jti,
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    tier,
    createdAt: seconds(listed.createdAtMs),
    expiresAt: seconds(listed.expiresAtMs),
  };
}

function seconds(timeMs: number): number {
  return Math.floor(timeMs / 1000);
}
