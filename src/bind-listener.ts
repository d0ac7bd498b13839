import { chmod, chown, lstat, mkdir, rmdir, stat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Who may connect to a Unix socket: who may write to it (unix(7)). */
export interface SocketAccess {
  /** Permissions, such as 0o660. */
  readonly mode: number;
  /** Absent: those of the process. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/**
 * Binds a door's server to `host:port`, `[IPv6]:port`, `unix:PATH` or `unix:///PATH` (gRPC name resolution), and
 * resolves to the address with the port that it got. A socket that a killed process left behind is replaced; one that
 * somebody listens on stays, and so does any other file. Rejects with a `listen` fault as Node's own: `syscall`,
 * `address`, and in `code` what is wrong: `EADDRINUSE`, `EACCES`, `ENOENT` (no such folder), `ENOTSOCK` (another file
 * is there), `EPERM` (mode or owner can not be set).
 */
export async function bindListener(server: Server, address: string, access: SocketAccess): Promise<string> {
  const path = socketPath(address);
  if (path === undefined) {
    const [host, port] = hostAndPort(address);
    await listen(server, { host, port });
    const bound = server.address();
    return typeof bound === 'object' && bound !== null ? withPort(address, bound.port) : address;
  }
  await listenOnSocket(server, path);
  try {
    // Without an owner of its own: -1 leaves what is there (chown(2)).
    if (access.owner !== undefined) await chown(path, access.owner.uid, access.owner.gid);
    await chmod(path, access.mode);
  } catch (cause) {
    server.close();
    throw listenFault('EPERM', path, cause);
  }
  return address;
}

/** The path of `unix:PATH`, else undefined. */
function socketPath(address: string): string | undefined {
  if (!address.startsWith('unix:')) return undefined;
  const path = address.slice('unix:'.length);
  return path.startsWith('///') ? path.slice(2) : path;
}

/** `bind` alone tells two processes apart that want one path: it never replaces what is there. */
async function listenOnSocket(server: Server, path: string): Promise<void> {
  // libuv says EACCES for it.
  if ((await stat(dirname(path)).catch(() => undefined))?.isDirectory() !== true)
    throw listenFault('ENOENT', path);
  try {
    await listen(server, { path });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await inTurn(path, async () => {
      await removeStaleSocket(path);
      await listen(server, { path });
    });
  }
}

/** Removes a socket that nobody listens on; nobody can begin to while it is there, and no other removes it meanwhile. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw listenFault('ENOTSOCK', path);
  if (await isListening(path)) return;
  try {
    await unlink(path);
  } catch (cause) {
    throw listenFault((cause as NodeJS.ErrnoException).code ?? 'EACCES', path, cause);
  }
}

/** For what takes milliseconds; one that is older belongs to a process that was killed meanwhile. */
const staleTurnMs = 5_000;
const turnPollMs = 20;

/**
 * One process at a time: of two that found the same stale socket, the second would else remove the one that the first has
 * bound since. A folder beside it is the sign, because making one either succeeds or tells that it is there.
 */
async function inTurn(path: string, act: () => Promise<void>): Promise<void> {
  const sign = `${path}.turn`;
  for (;;) {
    try {
      await mkdir(sign);
      break;
    } catch (cause) {
      const { code = 'EACCES' } = cause as NodeJS.ErrnoException;
      if (code !== 'EEXIST') throw listenFault(code, path, cause);
    }
    const made = await stat(sign).catch(() => undefined);
    if (made !== undefined && Date.now() - made.mtimeMs > staleTurnMs)
      await rmdir(sign).catch(() => undefined);
    else await sleep(turnPollMs);
  }
  try {
    await act();
  } finally {
    await rmdir(sign).catch(() => undefined);
  }
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    // Not for us to connect to, or too busy: somebody is there.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}

function listen(
  server: Server,
  where: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function listenFault(code: string, address: string, cause?: unknown): Error {
  return Object.assign(new Error(`listen ${code}: ${address}`, { cause }), {
    syscall: 'listen',
    code,
    address,
  });
}

function hostAndPort(address: string): readonly [host: string, port: number] {
  const [, v6, name, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(address) ?? [];
  const host = v6 ?? name;
  if (host === undefined)
    throw new TypeError(`${address} is neither host:port nor [IPv6]:port nor unix:PATH`);
  return [host, Number(port)];
}

function withPort(address: string, port: number): string {
  return `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
}
