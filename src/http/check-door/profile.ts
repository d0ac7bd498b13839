/**
 * How one kind of proxy says what it was asked, and what it makes of an answer. Names of headers are lower-case.
 * Whatever a proxy says besides the request itself is believed of peers that are trusted only.
 */
export interface CheckDoorProfile {
  /** Where the original method and path stand, in a header each. Absent: it is the original request that comes here. */
  readonly original?: { readonly method: string; readonly path: string };
  /** Holds the client's address. Of several, separated by commas, the last one: each proxy adds the one that it saw. */
  readonly source: string;
  /** Holds the milliseconds for which the proxy waits, if it says that. */
  readonly timeout?: string;
  /** Holds the length of the whole body, in bytes. Absent: the client could say it. */
  readonly size?: string;
  /**
   * Holds dynamic metadata (what filters found in the body) as a JSON object. In one header, because JSON alone keeps the
   * client's control characters out of it: Envoy does not send a request with such a header, which is an error of ext_authz.
   */
  readonly metadata?: string;
  /**
   * Whether the proxy takes off the request what `x-envoy-auth-headers-to-remove` names. Where it does not, a client
   * that sends headers which look like ours is refused: nobody would keep them from the model.
   */
  readonly removesHeaders: boolean;
  /** Whether headers of an answer become metadata of the request, and something tells of its end with them. */
  readonly tellsEnds: boolean;
  /** Denials with another status than their own: what the proxy would take for something else. */
  readonly statusOf?: (status: number) => number;
  /** Whether a denial's status and body have to travel in headers, because its body is dropped. */
  readonly deniesInHeaders: boolean;
}
