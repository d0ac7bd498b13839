import { BlockList, isIP } from 'node:net';

/** Whether a peer's address, as `socket.remoteAddress` says it, lies in one of the networks. */
export type IsInNetworks = (address: string | undefined) => boolean;

/** Networks (CIDR) or single addresses. Throws RangeError for one that is neither. */
export function createNetworks(written: readonly string[]): IsInNetworks {
  const networks = new BlockList();
  for (const network of written) add(networks, network);
  return (address) => {
    const version = address === undefined ? 0 : isIP(address);
    if (address === undefined || version === 0) return false;
    // An IPv4 peer of a listener for both is `::ffff:1.2.3.4`; BlockList matches that with IPv4 networks by itself.
    return networks.check(address, version === 4 ? 'ipv4' : 'ipv6');
  };
}

function add(networks: BlockList, written: string): void {
  const [address = '', length] = written.split('/');
  const version = isIP(address);
  if (version === 0) throw new RangeError(`${written} is neither a network nor an address`);
  const family = version === 4 ? 'ipv4' : 'ipv6';
  networks.addSubnet(address, length === undefined ? (version === 4 ? 32 : 128) : Number(length), family);
}
