import type { Secret } from '../secret.ts';
import type { Account } from './account.ts';

/**
 * What is kept of a token that was minted: the metadata of the Kubernetes Secret that it is bound to. Never
 * the token. Deleting the Secret ends the token.
 */
export interface TokenRecord {
  /** 32 hex digits; the Secret is `tgt-<id>`. */
  readonly id: string;
  readonly namespace: string;
  /** Of the Secret. */
  readonly uid: string;
  /** Uid of the account that owns it. */
  readonly accountUid: string;
  readonly user: string;
  readonly name?: string;
  readonly description?: string;
  /** Absent as long as the token is not handed out: half-made. */
  readonly jti?: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

export interface NewTokenRecord {
  readonly id: string;
  readonly account: Account;
  readonly user: string;
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly expiresAtMs: number;
}

export type TokenRecordPlace = Pick<TokenRecord, 'id' | 'namespace' | 'uid'>;

/** Port: makes the Secret, owned by the account. Throws DependencyError. */
export type CreateTokenRecord = (record: NewTokenRecord) => Promise<TokenRecordPlace>;

/** Port: writes down what is known once the token is there. False: the record is gone. Throws DependencyError. */
export type CompleteTokenRecord = (
  place: TokenRecordPlace,
  completed: { readonly jti: string; readonly expiresAtMs: number },
) => Promise<boolean>;

/** Port: ends the token of exactly this record. False: it was gone already. Throws DependencyError. */
export type DeleteTokenRecord = (place: TokenRecordPlace) => Promise<boolean>;

/** Port: the records of a namespace, or of one account name in it, as the API server has them now. Throws DependencyError. */
export type ListTokenRecords = (namespace: string, accountName?: string) => Promise<readonly TokenRecord[]>;

export interface TokenWish {
  readonly account: Account;
  readonly record: TokenRecordPlace;
  /** Whole seconds. */
  readonly lifetimeSeconds: number;
}

export interface IssuedToken {
  readonly token: Secret;
  readonly jti: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  /** Uid of the account that the token speaks for, by its claims. */
  readonly accountUid: string;
}

/**
 * Port: a TokenRequest with our audience, bound to the record's Secret. `gone`: account or Secret are not
 * there any more. `too_long`: the cluster gives none that long. A cluster may also shorten it: the caller
 * compares. Throws DependencyError.
 */
export type RequestToken = (wish: TokenWish) => Promise<IssuedToken | 'gone' | 'too_long'>;

/** A mint takes less than this; a record that is still half-made by then is nobody's. */
export const halfMadeAfterMs = 10_000;

/** Whether the record stands for a token that somebody may hold and use. */
export function isLive(record: TokenRecord, nowMs: number): boolean {
  return record.jti !== undefined && nowMs < record.expiresAtMs;
}

/** Whether the record was left behind: its token has ended, or was never handed out. */
export function isLeftBehind(record: TokenRecord, nowMs: number): boolean {
  return record.jti === undefined
    ? record.createdAtMs + halfMadeAfterMs <= nowMs
    : record.expiresAtMs <= nowMs;
}
