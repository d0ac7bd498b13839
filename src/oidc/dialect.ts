import type { DesiredClient, RegisteredClient } from '../register/client.ts';
import type { Secret } from '../secret.ts';

/** How one kind of registration endpoint wants things said. The verbs and the tokens are the same for all. */
export interface Dialect {
  /** Below the realm's URL. */
  readonly path: string;
  /** Whether client id and secret are ours to choose. */
  readonly choosesCredentials: boolean;
  /** Whether client attributes, and with them a group filter, can be set. */
  readonly supportsAttributes: boolean;
  readonly registration: (desired: DesiredClient, clientSecret: Secret) => object;
  /** `current` is what a GET just answered, for endpoints whose PUT replaces every field. */
  readonly update: (desired: DesiredClient, current: object) => object;
  /** A registration that is always refused for its redirect URI, after the token was looked at. */
  readonly impossible: object;
  /** Undefined: not a client as this endpoint describes one. */
  readonly read: (body: unknown, clientUri: (clientId: string) => string) => RegisteredClient | undefined;
}
