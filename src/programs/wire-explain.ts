import { randomUUID } from 'node:crypto';
import { type AccessOptions, createCheckAccess } from '../check/access.ts';
import type { CheckStages } from '../check/check.ts';
import { createCheckConcurrency } from '../check/concurrency.ts';
import type { ExplainedCaller } from '../check/explain-question.ts';
import { createExplain, type Explain, type Note } from '../check/explain.ts';
import { createIdentify, type IdentityOptions } from '../check/identity.ts';
import { createCheckLimit } from '../check/limit.ts';
import { createLookingConsume, createLookingSlots, lookingCache } from '../check/looking.ts';
import { isDenied } from '../check/outcome.ts';
import { createCheckPresence, type PresenceOptions } from '../check/presence.ts';
import type { Principal } from '../check/principal.ts';
import { lineOfTier } from '../policy/place.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { readDemand } from '../settle/demand.ts';
import { askedByName, isAccount } from './asked-by-name.ts';
import type { Counters } from './connect-counters.ts';

export interface ExplainParts {
  readonly config: Config;
  readonly policy: () => Policy;
  /** Those of Check: what asks nobody is taken as it is. */
  readonly stages: CheckStages;
  readonly identity: IdentityOptions;
  readonly presence: PresenceOptions;
  readonly access: AccessOptions;
  readonly counters: Pick<Counters, 'consume' | 'slots' | 'reservationNames'>;
  /** The caller's groups, as far as teams go. */
  readonly groupsOf: (principal: Principal) => readonly string[];
}

/** What Check is made of → Explain: the same stages, with caches that are read only and counters that are looked at. */
export function wireExplain(parts: ExplainParts): Explain {
  const { config, policy, stages, counters, groupsOf } = parts;
  const { isTierNamespace, find, lookUp } = parts.presence;
  const { now } = Date;

  const stagesFor = (caller: ExplainedCaller, note: Note): CheckStages => {
    const asked =
      caller.kind === 'user'
        ? askedByName(caller, { config, assignTier: stages.assignTier }, note)
        : undefined;
    note('route', { source: { kind: 'request' } });
    note('credential', { source: { kind: caller.kind === 'user' ? 'question' : 'request' } });
    note('deniedList', { source: { kind: 'watch' } });
    note('model', { source: { kind: config.model.from === 'context' ? 'configuration' : 'request' } });
    return {
      ...stages,
      identify: createIdentify({
        ...parts.identity,
        cache: lookingCache(parts.identity.cache, (source) => note('identity', { source })),
      }),
      checkPresence: createCheckPresence({
        ...parts.presence,
        find(objects) {
          note('presence', { source: { kind: 'watch' } });
          return find(objects);
        },
        lookUp(objects) {
          note('presence', { source: { kind: 'apiServer' } });
          return lookUp(objects);
        },
      }),
      subjectOf(principal, asking) {
        const isIssued = isTierNamespace(principal.serviceAccount?.namespace ?? '');
        note('subject', { source: { kind: isIssued ? 'watch' : 'request' } });
        return stages.subjectOf(principal, asking);
      },
      assignTier(groups) {
        const tier = stages.assignTier(groups);
        const line = isDenied(tier) ? undefined : lineOfTier(policy(), tier.name);
        note('tier', { source: { kind: 'policy', ...(line !== undefined && { line }) } });
        return tier;
      },
      checkAccess: createCheckAccess({
        ...parts.access,
        cache: lookingCache(parts.access.cache, (source) => note('access', { source })),
      }),
      checkLimit: createCheckConcurrency({
        slots: createLookingSlots(counters.slots),
        checkLimit(of) {
          note('limit', { source: { kind: 'counters' } });
          return checkWindows(of);
        },
        now,
        observe: () => undefined,
      }),
      ...asked,
    };

    function checkWindows(of: Parameters<CheckStages['checkLimit']>[0]) {
      const groups = caller.kind === 'user' && !isAccount(caller.user) ? caller.groups : undefined;
      return createCheckLimit({
        policy,
        consume: createLookingConsume(counters.consume),
        settle: () => 'unknown',
        groupsOf: (principal) => groups ?? groupsOf(principal),
        newId: randomUUID,
        reservationNames: counters.reservationNames,
        readTokenDemand: readDemand,
        now,
      })(of);
    }
  };

  return createExplain({
    stagesFor,
    credentialHeader: config.credential.headers[0] ?? 'authorization',
    policy,
    audience: config.identity.audience,
    access: config.access,
    isTierNamespace,
    readTokenDemand: readDemand,
    deadlineMs: config.check.deadlineMs,
    now,
  });
}
