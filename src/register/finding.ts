/**
 * What a pass found that somebody should know. Whether it fails the run is in {@link failsRun}, in one place.
 *
 * - `create_blocked`: a client is wanted and the Initial Access Token does not allow it
 * - `client_refused`: the identity provider refused the client's metadata
 * - `identifier_taken`: a client with this id exists and is not ours
 * - `registration_token_lost`: the client exists and our registration access token is refused for it
 * - `client_disabled`, `presence_unclear`: it refuses everything, or the realm does not say whether it is there
 * - `record_malformed`, `intent_malformed`: a stored document that is not what it should be
 * - `record_conflict`: somebody else wrote the record meanwhile
 * - `token_not_persisted`: a new registration access token could not be stored
 * - `undo_failed`: a client was registered, could not be stored, and could not be deleted again
 * - `orphan`: a registration that was interrupted can't be taken up
 * - `foreign_uri`: a record sends its token somewhere else than to its issuer
 * - `dependency_failed`, `skipped`: an action could not be done, or was not tried after such a failure
 * - `mass_deletion_refused`, `discovery_empty`, `removal_waits`: nothing is removed, and why
 */
export type FindingKind =
  | 'cluster_invalid'
  | 'issuer_unknown'
  | 'unsupported'
  | 'create_blocked'
  | 'client_refused'
  | 'identifier_taken'
  | 'registration_token_lost'
  | 'client_disabled'
  | 'presence_unclear'
  | 'record_malformed'
  | 'intent_malformed'
  | 'record_conflict'
  | 'token_not_persisted'
  | 'undo_failed'
  | 'orphan'
  | 'foreign_uri'
  | 'dependency_failed'
  | 'skipped'
  | 'store_forbidden'
  | 'mass_deletion_refused'
  | 'discovery_empty'
  | 'discovery_failed'
  | 'renewal_failed'
  | 'removal_waits';

export interface Finding {
  readonly kind: FindingKind;
  /** A client id, an instance's name, or the part of the system that it is about. */
  readonly subject: string;
  /** One sentence without a token in it. */
  readonly detail: string;
}

/** `removal_waits` is the only one that time alone settles. */
export const failsRun: Readonly<Record<FindingKind, boolean>> = {
  cluster_invalid: true,
  issuer_unknown: true,
  unsupported: true,
  create_blocked: true,
  client_refused: true,
  identifier_taken: true,
  registration_token_lost: true,
  client_disabled: true,
  presence_unclear: true,
  record_malformed: true,
  intent_malformed: true,
  record_conflict: true,
  token_not_persisted: true,
  undo_failed: true,
  orphan: true,
  foreign_uri: true,
  dependency_failed: true,
  skipped: true,
  store_forbidden: true,
  mass_deletion_refused: true,
  discovery_empty: true,
  discovery_failed: true,
  renewal_failed: true,
  removal_waits: false,
};

export function finding(kind: FindingKind, subject: string, detail: string): Finding {
  return { kind, subject, detail };
}
