import { createCheckLimit } from '../check/limit.ts';
import { randomUUID } from 'node:crypto';
import type { CheckStages } from '../check/check.ts';
import { createReadCredential } from '../check/credential.ts';
import type { ExplainedCaller } from '../check/explain-question.ts';
import { createExplain, type Explain, type Note } from '../check/explain.ts';
import { createLookingConsume } from '../check/looking.ts';
import { createMemoryCounters } from '../check/memory-consume.ts';
import { createReadModel } from '../check/model.ts';
import { createReadRoute } from '../check/route.ts';
import { createAssignTier } from '../check/tier.ts';
import { lineOfTier } from '../policy/place.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { readDemand } from '../settle/demand.ts';
import { isDenied } from '../check/outcome.ts';
import { type AskedByName, askedByName, createIsTierNamespace } from './asked-by-name.ts';

/** Explain by files alone: what only a cluster or the counters can tell is `unknown`, and passes. */
export function createOfflineExplain(config: Config, policy: Policy): Explain {
  const current = () => policy;
  const assignTier = createAssignTier(current);
  const { now } = Date;

  const stagesFor = (caller: ExplainedCaller, note: Note): CheckStages => {
    const unknown = (stage: 'deniedList' | 'access' | 'limit', words: string) =>
      note(stage, { unknown: `${words}: not looked at without a running authorizer.` });
    const asked = caller.kind === 'user' ? askedByName(caller, { config, assignTier }, note) : nobody();
    note('route', { source: { kind: 'request' } });
    note('model', { source: { kind: config.model.from === 'context' ? 'configuration' : 'request' } });
    return {
      readRoute: createReadRoute(config.model),
      readCredential: createReadCredential(config.credential),
      subjectOf: ({ username }) => username,
      ...asked,
      checkDenied(principal) {
        unknown('deniedList', 'Who is kept out by `tiergate deny`');
        return principal;
      },
      assignTier(groups) {
        const tier = assignTier(groups);
        const line = isDenied(tier) ? undefined : lineOfTier(policy, tier.name);
        note('tier', { source: { kind: 'policy', ...(line !== undefined && { line }) } });
        return tier;
      },
      readModel: createReadModel(config.model),
      checkAccess(_principal, { namespace, name }) {
        const { verb, resource } = config.access;
        unknown('access', `Whether RBAC lets them ${verb} ${resource}/${name} in ${namespace}`);
        return { namespace };
      },
      checkLimit(of) {
        unknown('limit', 'What is left of these limits');
        const counters = createMemoryCounters({ now });
        return createCheckLimit({
          policy: current,
          consume: createLookingConsume(counters.consume),
          reservationNames: counters.reservationNames,
          readTokenDemand: readDemand,
          settle: () => 'unknown',
          groupsOf: ({ groups }) => (caller.kind === 'user' ? caller.groups : groups),
          newId: randomUUID,
          now,
        })(of);
      },
    };
  };

  return createExplain({
    stagesFor,
    credentialHeader: config.credential.headers[0] ?? 'authorization',
    policy: current,
    audience: config.identity.audience,
    access: config.access,
    isTierNamespace: createIsTierNamespace(config.instance),
    readTokenDemand: readDemand,
    deadlineMs: config.check.deadlineMs,
    now,
  });
}

/** Never asked: a request without a token ends at its credential. */
function nobody(): AskedByName {
  const never = () => {
    throw new TypeError('without a cluster, somebody is asked about by name or not at all');
  };
  return { identify: never, checkPresence: never };
}
