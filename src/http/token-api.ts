import type { FastifyReply, FastifyRequest } from 'fastify';

import { isDenied } from '../check/outcome.ts';
import type { AssignTier } from '../check/tier.ts';
import type { EndAccounts, RevokeToken } from '../issue/revoke.ts';
import type { Audit } from '../issue/audit.ts';
import type { Caller, CheckMayMint, IdentifyCaller } from '../issue/caller.ts';
import type { AdjustUsage } from '../issue/adjust-usage.ts';
import type { CheckMayAdminister } from '../issue/administer.ts';
import type { ListTokens } from '../issue/list-tokens.ts';
import type { Mint } from '../issue/mint.ts';
import type { ListModels } from '../issue/models.ts';
import type { ReadUsage } from '../issue/usage.ts';
import { readBearer } from './bearer.ts';
import { refuse } from './refuse.ts';
import { createThrottle } from './throttle.ts';

/** What the token API does, as its routes call it. */
export interface TokenApi {
  readonly instance: string;
  readonly identify: IdentifyCaller;
  readonly checkMayMint: CheckMayMint;
  readonly checkMayAdminister: CheckMayAdminister;
  readonly assignTier: AssignTier;
  readonly mint: Mint;
  readonly listTokens: ListTokens;
  readonly revokeToken: RevokeToken;
  readonly endAccounts: EndAccounts;
  readonly listModels: ListModels;
  readonly readUsage: ReadUsage;
  readonly adjustUsage: AdjustUsage;
  readonly audit: Audit;
}

/** A hook that lets through who can be told, and what it found out, for the handler behind it. */
export interface Authentication {
  readonly hook: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>;
  readonly callerOf: (request: FastifyRequest) => Caller;
}

/** Runs before the body is read: nobody unknown makes us read one. */
export function createAuthentication(identify: IdentifyCaller, perUserPerSecond: number): Authentication {
  const callers = new WeakMap<FastifyRequest, Caller>();
  const perUser = createThrottle({ perSecond: perUserPerSecond, what: 'yours' });
  return {
    hook: async (request, reply) => {
      const token = readBearer(request.raw);
      if (isDenied(token)) return refuse(reply, token);
      const caller = await identify(token);
      if (isDenied(caller)) return refuse(reply, caller);
      const tooMany = await perUser(caller.principal.username);
      if (tooMany !== undefined) return refuse(reply, tooMany);
      callers.set(request, caller);
      return undefined;
    },
    callerOf: (request) => {
      const caller = callers.get(request);
      if (caller === undefined) throw new Error(`${request.url} has no authentication in front`);
      return caller;
    },
  };
}
