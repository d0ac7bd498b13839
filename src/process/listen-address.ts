import { isIP } from 'node:net';

export interface TcpAddress {
  readonly kind: 'tcp';
  /** A host name or an IP address; an IPv6 address stands here without brackets. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface UnixAddress {
  readonly kind: 'unix';
  readonly path: string;
}

/** Where a listener binds. */
export type ListenAddress = TcpAddress | UnixAddress;

/** `sun_path` of Linux holds 108 bytes, the last one NUL (unix(7)); longer names fail with words nobody understands. */
const maxSocketPathBytes = 107;

const hostName = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/i;

/** `host:port`, `[IPv6]:port` or `unix:PATH` → an address. Throws RangeError with words for the operator. */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix:')) return parseSocketPath(text.slice('unix:'.length));
  const found = /^(?:\[(?<v6>[^\]]*)\]|(?<name>[^:]*)):(?<port>\d+)$/.exec(text)?.groups;
  const v6 = found?.['v6'];
  const name = v6 ?? found?.['name'];
  const port = found?.['port'];
  if (name === undefined || port === undefined) {
    throw new RangeError(`"${text}" is not an address: write host:port, [IPv6]:port or unix:PATH`);
  }
  if (Number(port) > 65_535) throw new RangeError(`${port} is not a port: 0 to 65535`);
  const isHost = v6 === undefined ? isIP(name) === 4 || isHostName(name) : isIP(name) === 6;
  if (!isHost) throw new RangeError(`"${name}" is neither a host name nor an IP address`);
  return { kind: 'tcp', host: name, port: Number(port) };
}

/** The text that `parseListenAddress` reads, and grpc-js too. */
export function formatListenAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return isIP(address.host) === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Whether two listeners of one program could not both bind. */
export function collides(a: ListenAddress, b: ListenAddress): boolean {
  if (a.kind === 'unix' || b.kind === 'unix') {
    return a.kind === 'unix' && b.kind === 'unix' && a.path === b.path;
  }
  if (a.port !== b.port || a.port === 0) return false;
  return a.host === b.host || isWildcard(a.host) || isWildcard(b.host);
}

/** A name of digits and dots only is a mistyped IPv4 address. */
function isHostName(name: string): boolean {
  return hostName.test(name) && !/^[\d.]+$/.test(name);
}

/** RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3, RFC 6761 section 6.3. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Every address of the machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function parseSocketPath(written: string): UnixAddress {
  // gRPC's own naming has a second form, `unix:///absolute`.
  const path = written.startsWith('///') ? written.slice(2) : written;
  if (path === '' || path.startsWith('//') || path.endsWith('/')) {
    throw new RangeError('unix: needs the path of a socket, for example unix:/run/tiergate/grpc.sock');
  }
  const bytes = Buffer.byteLength(path);
  if (bytes > maxSocketPathBytes) {
    throw new RangeError(`the socket path is ${bytes} bytes long; a Unix socket takes ${maxSocketPathBytes}`);
  }
  return { kind: 'unix', path };
}
