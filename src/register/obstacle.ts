import type { FindingKind } from './finding.ts';
import type { Presence } from './registration.ts';

/** Why a client that refuses its registration access token is left as it is, record and all. */
export interface Obstacle {
  readonly kind: FindingKind;
  readonly detail: string;
}

/** Of a client that is there with our secret, where no administrator can be asked for a new token. */
export const tokenLost: Obstacle = {
  kind: 'registration_token_lost',
  detail:
    'the client exists and refuses its registration access token: only an administrator can give out another; the stored secret is kept',
};

/** Every presence but `gone`, which is no obstacle. */
export const obstacles: Readonly<Record<Exclude<Presence, 'gone'>, Obstacle>> = {
  present: tokenLost,
  other_secret: {
    kind: 'identifier_taken',
    detail:
      'a client with this id exists whose secret is not the stored one, and refuses the stored registration access token: neither is touched',
  },
  disabled: {
    kind: 'client_disabled',
    detail:
      "the client exists and is disabled in its realm, which therefore refuses everything about it: enable it there or have the realm's administrators delete it; the stored secret is kept",
  },
  unclear: {
    kind: 'presence_unclear',
    detail:
      'its registration access token is refused, and the realm does not say whether the client still exists: the stored secret is kept',
  },
};
