/** A scalar of Envoy's dynamic metadata (google.protobuf.Value without lists and structs). */
export type MetadataScalar = string | number | boolean;

/**
 * What a door says of a request: plain data, the same whatever door it came through.
 * Everything in it but `contextExtensions`, `metadata` and `source` is the client's word.
 */
export interface CheckInput {
  /** Envoy's stream id (`attributes.request.http.id`): the same for a retried Check, and not a client's to choose. Empty if there is none. */
  readonly id: string;
  /** As sent: `POST`. */
  readonly method: string;
  /** Path with query, as Envoy routes by it. */
  readonly path: string;
  /** Lower-case names of the headers that some stage reads; a header sent several times is joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  /** Lower-case names of the client's headers that look like ours (`x-tiergate-*`, `x-maas-*`): never to reach a model. */
  readonly forgedHeaders: readonly string[];
  /** What the route's configuration in Envoy says (`context_extensions`): the operator's word. */
  readonly contextExtensions: ReadonlyMap<string, string>;
  /** Namespace `tiergate` of Envoy's dynamic metadata, written by Envoy's own filters. */
  readonly metadata: ReadonlyMap<string, MetadataScalar>;
  /** Length of the whole body, in bytes; undefined or absent: not known. */
  readonly bodyBytes?: number | undefined;
  /** The whole body, where the gateway sends it along; never a part of it. */
  readonly body?: Uint8Array | undefined;
  /** The address of the downstream peer, without a port. */
  readonly source: string;
  /** When the caller stops listening, in epoch milliseconds; `Infinity` if it did not say. */
  readonly deadlineAtMs: number;
}
