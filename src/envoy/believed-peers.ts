import { BlockList, isIP } from 'node:net';
import type { ServerUnaryCall } from '@grpc/grpc-js';

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
  const networks = new BlockList();
  for (const network of trust) add(networks, network);
  return (call) => {
    const peer = addressOf(call.getPeer());
    const version = isIP(peer);
    // An IPv4 peer of a listener for both is `::ffff:1.2.3.4`; BlockList matches that with IPv4 networks by itself.
    return version !== 0 && networks.check(peer, version === 4 ? 'ipv4' : 'ipv6');
  };
}

function add(networks: BlockList, written: string): void {
  const [address = '', length] = written.split('/');
  const version = isIP(address);
  if (version === 0) throw new RangeError(`${written} is neither a network nor an address`);
  const family = version === 4 ? 'ipv4' : 'ipv6';
  networks.addSubnet(address, length === undefined ? (version === 4 ? 32 : 128) : Number(length), family);
}

/** grpc-js puts the port behind a colon, also behind those of an IPv6 address. */
function addressOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(':'));
}
