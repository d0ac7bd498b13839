import type { ServerUnaryCall } from '@grpc/grpc-js';
import { createNetworks } from '../networks.ts';

/** Whose word about others is believed: rate limit calls charge whom they name, access log entries end what they name. */
export interface BelievedPeersOptions {
  /** Of the listener: `host:port` or `unix:PATH`. Who may write to a socket is believed (unix(7)). */
  readonly address: string;
  /** Whether the listener takes only clients with a certificate of its authority; all of those are believed. */
  readonly isMutualTls: boolean;
  /** Networks (CIDR) or addresses that are believed otherwise. */
  readonly trust: readonly string[];
}

/** Tells by a call's connection, never by anything that it says. */
export type IsBelieved = (call: Pick<ServerUnaryCall<unknown, unknown>, 'getPeer'>) => boolean;

/** Throws RangeError for a network that is none. */
export function createIsBelieved({ address, isMutualTls, trust }: BelievedPeersOptions): IsBelieved {
  if (isMutualTls || address.startsWith('unix:')) return () => true;
  const isTrusted = createNetworks(trust);
  return (call) => isTrusted(addressOf(call.getPeer()));
}

/** grpc-js puts the port behind a colon, also behind those of an IPv6 address. */
function addressOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(':'));
}
