import { type Denied, denied } from '../check/outcome.ts';
import type { Principal } from '../check/principal.ts';

/** What an administrator does to the tokens of others (`tiergate.dev`, resource `tokens`). */
export type AdminVerb = 'list' | 'delete';

/**
 * Port: one SubjectAccessReview: may the caller do this to `tokens` of `tiergate.dev` in the issuer's namespace?
 * Throws DependencyError: nobody could tell.
 */
export type AuthorizeAdmin = (principal: Principal, verb: AdminVerb) => Promise<boolean>;

export type CheckMayAdminister = (principal: Principal, verb: AdminVerb) => Promise<Denied | undefined>;

/** Refuses (`mint_forbidden`) whoever the cluster does not let manage the tokens of others. Not remembered. */
export function createCheckMayAdminister(authorizeAdmin: AuthorizeAdmin): CheckMayAdminister {
  return async (principal, verb) =>
    (await authorizeAdmin(principal, verb))
      ? undefined
      : denied('mint_forbidden', 'You may not manage the tokens of another user.');
}
