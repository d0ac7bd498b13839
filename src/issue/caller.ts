import { type JwtClaims, readJwtClaims } from '../check/jwt.ts';
import { type Denied, denied, isDenied } from '../check/outcome.ts';
import { type Principal, principalFrom, type ReviewedUser } from '../check/principal.ts';
import type { ReviewCache } from '../check/review-cache.ts';
import { createTokenKey } from '../check/identity.ts';
import type { Secret } from '../secret.ts';
import { type FindAccount, tierOfNamespace } from './account.ts';
import type { ListTokenRecords } from './token-record.ts';

/**
 * Port: one TokenReview that asks for several audiences; `audiences` are those that the token is good for. Denied
 * (`token_rejected`): it is good for none. Throws DependencyError: nobody could tell.
 */
export type ReviewCaller = (
  token: Secret,
) => Promise<{ readonly user: ReviewedUser; readonly audiences: readonly string[] } | Denied>;

/** Who talks to the token API. */
export interface Caller {
  readonly principal: Principal;
  /** What they showed: a token of the cluster itself, or an access token that we issued. */
  readonly kind: 'cluster' | 'access';
  /** The name of their counters, the same as behind the gateway. */
  readonly subject: string;
  /** Groups by which limits may be shared: of an access token as of the mint, as behind the gateway. */
  readonly groups: readonly string[];
}

export interface CallerOptions {
  readonly instance: string;
  /** Audience of tokens of the cluster. */
  readonly clusterAudience: string;
  readonly review: ReviewCaller;
  readonly findAccount: FindAccount;
  readonly listTokenRecords: ListTokenRecords;
  /** A few seconds of memory: what is revoked must not linger. */
  readonly cache: ReviewCache<Caller>;
  readonly now: () => number;
}

/** Bearer token → caller. Throws DependencyError: nobody could tell. */
export type IdentifyCaller = (token: Secret) => Promise<Caller | Denied>;

export function createIdentifyCaller(options: CallerOptions): IdentifyCaller {
  const { instance, clusterAudience, review, findAccount, listTokenRecords, cache, now } = options;
  const keyOf = createTokenKey();

  async function identify(token: Secret, claims: JwtClaims | undefined): Promise<Caller | Denied> {
    const reviewed = await review(token);
    if (isDenied(reviewed)) return reviewed;
    const principal = principalFrom(reviewed.user, claims);
    const kind = reviewed.audiences.includes(clusterAudience) ? 'cluster' : 'access';
    const account = principal.serviceAccount;
    if (account === undefined || tierOfNamespace(instance, account.namespace) === undefined) {
      // Our audience without one of our accounts: somebody else's TokenRequest. The authorizer takes it, too.
      return { principal, kind, subject: principal.username, groups: principal.groups };
    }
    const subject = await ownerOfIssued(principal, account);
    return isDenied(subject) ? subject : { principal, kind, ...subject };
  }

  /**
   * The API server calls a token that it has just reviewed authenticated for 10 s after its account or Secret went:
   * so both are looked at.
   */
  async function ownerOfIssued(
    { secret }: Principal,
    place: NonNullable<Principal['serviceAccount']>,
  ): Promise<Pick<Caller, 'subject' | 'groups'> | Denied> {
    const [account, records] = await Promise.all([
      findAccount(place),
      secret === undefined ? [] : listTokenRecords(place.namespace, place.name),
    ]);
    const revoked =
      account?.uid !== place.uid ||
      (secret !== undefined && !records.some((record) => record.uid === secret.uid));
    if (revoked) return denied('token_revoked', 'The access token has been revoked.');
    return { subject: account.user ?? account.name, groups: account.groups };
  }

  return async (token) => {
    const claims = readJwtClaims(token.reveal());
    if (claims?.expiresAtMs !== undefined && claims.expiresAtMs <= now()) {
      return denied('token_expired', 'The token has expired.');
    }
    return cache.ask(keyOf(token), () => identify(token, claims));
  };
}

export interface MayMintOptions {
  readonly instance: string;
  /** Namespaces whose ServiceAccounts may have tokens of their own. */
  readonly serviceAccountNamespaces: readonly string[];
}

/** Caller → whether they may mint and manage tokens; a refusal (`mint_forbidden`) says why not. */
export type CheckMayMint = (caller: Caller) => Denied | undefined;

/**
 * A token must not make tokens: else whoever was put out of every group goes on for ever, and with a fresh quota
 * at each step. So no access token, no account of a tier namespace whatever its audience, and no other
 * ServiceAccount but where the operator said so.
 */
export function createCheckMayMint(options: MayMintOptions): CheckMayMint {
  const { instance, serviceAccountNamespaces } = options;
  return ({ kind, principal: { serviceAccount } }) => {
    if (kind === 'access' || isIssued(instance, serviceAccount?.namespace)) {
      return denied('mint_forbidden', 'An access token can not be used here; use your token of the cluster.');
    }
    if (serviceAccount !== undefined && !serviceAccountNamespaces.includes(serviceAccount.namespace)) {
      return denied('mint_forbidden', 'ServiceAccounts of this namespace may not have access tokens.');
    }
    return undefined;
  };
}

function isIssued(instance: string, namespace: string | undefined): boolean {
  return namespace !== undefined && tierOfNamespace(instance, namespace) !== undefined;
}
