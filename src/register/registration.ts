import type { Secret } from '../secret.ts';
import type { DesiredClient, RegisteredClient, StoredClient } from './client.ts';

/**
 * Why a registration endpoint would not take an Initial Access Token. Only what the server knows:
 * `undecodable` covers expired, garbage, another realm's and an unknown signing key alike.
 */
export type TokenRefusal = 'undecodable' | 'exhausted' | 'unknown';

export type RegisterOutcome =
  | { readonly outcome: 'registered'; readonly client: RegisteredClient }
  /** A client with this id is there already: ours from an interrupted run, or somebody else's. */
  | { readonly outcome: 'identifier_taken' }
  | { readonly outcome: 'token_refused'; readonly reason: TokenRefusal }
  /** The client's metadata is refused; the token was not used up by it. */
  | { readonly outcome: 'refused'; readonly detail: string };

export type ReadOutcome =
  | { readonly outcome: 'registered'; readonly client: RegisteredClient }
  /** Gone, superseded and unknown look the same here: ask {@link FindClient}. */
  | { readonly outcome: 'token_refused' };

export type UpdateOutcome = ReadOutcome | { readonly outcome: 'refused'; readonly detail: string };

/** Registers with the secret that we chose where the endpoint lets us, so that a crash can't lose it. RFC 7591 section 3.1. */
export type RegisterClient = (
  desired: DesiredClient,
  clientSecret: Secret,
  initialAccessToken: Secret,
  signal: AbortSignal,
) => Promise<RegisterOutcome>;

/** RFC 7592 section 2.1. Does not change the registration access token, but may answer with a newer form of it. */
export type ReadClient = (stored: StoredClient, signal: AbortSignal) => Promise<ReadOutcome>;

/** RFC 7592 section 2.2. As a rule the registration access token of the answer is the only valid one from then on. */
export type UpdateClient = (
  stored: StoredClient,
  desired: DesiredClient,
  signal: AbortSignal,
) => Promise<UpdateOutcome>;

/** RFC 7592 section 2.3. Works with an Initial Access Token that ran out. */
export type RemoveClient = (
  stored: StoredClient,
  signal: AbortSignal,
) => Promise<'removed' | 'token_refused'>;

/**
 * What a realm says of a client to somebody without any registration token. `gone` is said only on positive
 * evidence: a disabled client is refused in the same words almost everywhere.
 */
export type Presence = 'present' | 'other_secret' | 'disabled' | 'gone' | 'unclear';

/** Whether a client is registered, and with this secret. Changes nothing. */
export type FindClient = (clientId: string, clientSecret: Secret, signal: AbortSignal) => Promise<Presence>;

/** Asks whether an Initial Access Token would be taken, by a request that can't succeed and consumes nothing. */
export type ProbeInitialAccessToken = (
  token: Secret,
  signal: AbortSignal,
) => Promise<'usable' | TokenRefusal>;

/** One realm's registration endpoint. All of it throws DependencyError when the realm can't tell. */
export interface Registration {
  /** Whether client id and secret are ours to choose; else a lost answer leaves a client that only its name betrays. */
  readonly choosesCredentials: boolean;
  /** Whether scopes' attributes (the group filter) can be set. */
  readonly supportsAttributes: boolean;
  /** RFC 7592's `registration_client_uri` of a client whose registration answer was lost. */
  readonly clientUri: (clientId: string) => string;
  readonly register: RegisterClient;
  readonly read: ReadClient;
  readonly update: UpdateClient;
  readonly remove: RemoveClient;
  readonly find: FindClient;
  readonly probe: ProbeInitialAccessToken;
}

/** Which client an administrator is asked for: by its id, or by our name for it where the server chose the id. */
export interface ClientReference {
  readonly by: 'clientId' | 'name';
  readonly value: string;
}

/** An Initial Access Token as the administrator's list shows it; the token itself is only told at creation. */
export interface ListedToken {
  /** The token's `jti`. */
  readonly id: string;
  readonly remaining: number;
}

export interface CreatedToken {
  readonly id: string;
  readonly token: Secret;
}

/** The realm's administration, where an account for it is configured. All of it throws DependencyError. */
export interface Administration {
  /** Gives out a new registration access token (the old one dies) and tells the secret; undefined: no such client. */
  readonly recoverClient: (
    reference: ClientReference,
    signal: AbortSignal,
  ) => Promise<RegisteredClient | undefined>;
  readonly listTokens: (signal: AbortSignal) => Promise<readonly ListedToken[]>;
  readonly createToken: (lifeMs: number, clients: number, signal: AbortSignal) => Promise<CreatedToken>;
  /** Fine if it is gone already. */
  readonly revokeToken: (id: string, signal: AbortSignal) => Promise<void>;
}
