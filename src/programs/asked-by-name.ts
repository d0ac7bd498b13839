import type { CheckStages } from '../check/check.ts';
import type { ExplainedCaller } from '../check/explain-question.ts';
import type { Note } from '../check/explain.ts';
import { isDenied } from '../check/outcome.ts';
import { type Principal, principalFrom } from '../check/principal.ts';
import type { AssignTier } from '../check/tier.ts';
import { accountName } from '../issue/account.ts';
import { tierNamespace } from '../policy/create-policy.ts';
import type { Config } from '../process/config.ts';
import { createSecret } from '../secret.ts';

export interface AskedByNameParts {
  readonly config: Pick<Config, 'instance'>;
  readonly assignTier: AssignTier;
}

/** The stages that a name takes the place of. */
export type AskedByName = Pick<CheckStages, 'identify' | 'checkPresence'> &
  Partial<Pick<CheckStages, 'readCredential' | 'subjectOf'>>;

/** The stages of somebody who is named, and shows no token. */
export function askedByName(
  { user, groups: given }: Extract<ExplainedCaller, { readonly kind: 'user' }>,
  { config: { instance }, assignTier }: AskedByNameParts,
  note: Note,
): AskedByName {
  const groups = everyGroupOf(user, given);
  const source = { kind: 'question' } as const;
  const { principal, says } = isAccount(user)
    ? {
        principal: principalOf(user, groups),
        says: `${user}, as itself; groups ${groups.join(', ') || 'none'}.`,
      }
    : issuedTo(user, groups, instance, assignTier);
  return {
    readCredential() {
      note('credential', { says: 'Taken as good: somebody is asked about by name.' });
      return createSecret('');
    },
    identify() {
      note('identity', { source, says });
      return principal;
    },
    checkPresence() {
      note('presence', { source, says: 'Taken as there: no token was given.' });
      return principal;
    },
    ...(!isAccount(user) && {
      subjectOf() {
        note('subject', { source });
        return user;
      },
    }),
  };
}

/** What the API server adds to whoever it knows. */
function everyGroupOf(user: string, groups: readonly string[]): readonly string[] {
  const [, namespace] = /^system:serviceaccount:([^:]+):[^:]+$/.exec(user) ?? [];
  const own =
    namespace === undefined ? [] : ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
  return [...new Set([...groups, ...own, 'system:authenticated'])];
}

/** A person, as the bearer of the token that the issuer gives them; who gets none, as themselves. */
function issuedTo(
  user: string,
  groups: readonly string[],
  instance: string,
  assignTier: AssignTier,
): { readonly principal: Principal; readonly says: string } {
  const tier = assignTier(groups);
  if (isDenied(tier)) {
    const says = `${user}; groups ${groups.join(', ')}. The issuer gives them no token.`;
    return { principal: principalOf(user, groups), says };
  }
  const namespace = tierNamespace(instance, tier.name);
  const username = `system:serviceaccount:${namespace}:${accountName(user)}`;
  const own = everyGroupOf(username, []);
  return {
    principal: principalOf(username, own),
    says: `${user}, with the access token that the issuer gives them: ${username}; groups ${own.join(', ')}.`,
  };
}

function principalOf(username: string, groups: readonly string[]): Principal {
  return principalFrom({ username, uid: '', groups, extra: {} }, undefined);
}

/** A ServiceAccount, which is asked about as itself. */
export function isAccount(user: string): boolean {
  return user.startsWith('system:serviceaccount:');
}

/** By its name, which no other instance can have; also of a tier that the policy no longer holds. */
export function createIsTierNamespace(instance: string): (namespace: string) => boolean {
  const prefix = tierNamespace(instance, '');
  return (namespace) => namespace.startsWith(prefix);
}
