import type { JwtClaims } from './jwt.ts';
import type { Kept } from './review-cache.ts';

/** A ServiceAccount that a token speaks for. */
export interface ServiceAccountIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** What a TokenReview says of a caller (`authentication.k8s.io/v1` UserInfo). */
export interface ReviewedUser {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** A caller whose identity is established, with what its token says of itself. */
export interface Principal extends ReviewedUser {
  readonly serviceAccount?: ServiceAccountIdentity;
  /** The Secret that the token is bound to, if it is: deleting it ends the token. */
  readonly secret?: { readonly name: string; readonly uid: string };
  readonly jti?: string;
  readonly issuedAtMs?: number;
  /** The token's own end. Absent for opaque tokens, which do not say. */
  readonly expiresAtMs?: number;
  /** Of one that is remembered: the hash of what access is asked about, so that it is made once. */
  readonly askedAs?: string;
  /** Of one that is remembered: the model that it was last granted, and that verdict, so that it need not be looked up. */
  grantedModel?: string | undefined;
  grant?: Kept<{ readonly namespace: string }> | undefined;
}

/** What a TokenReview says of a caller, with what the token that it vouches for says of itself. */
export function principalFrom(user: ReviewedUser, claims: JwtClaims | undefined): Principal {
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user.username);
  const [, namespace, name] = account ?? [];
  const uid = claims?.serviceAccountUid ?? user.uid;
  return {
    ...user,
    ...(namespace !== undefined && name !== undefined && { serviceAccount: { namespace, name, uid } }),
    ...(claims?.secret !== undefined && { secret: claims.secret }),
    ...(claims?.jti !== undefined && { jti: claims.jti }),
    ...(claims?.issuedAtMs !== undefined && { issuedAtMs: claims.issuedAtMs }),
    ...(claims?.expiresAtMs !== undefined && { expiresAtMs: claims.expiresAtMs }),
  };
}
