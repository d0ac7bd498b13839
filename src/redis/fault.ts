import { DependencyError, type DependencyFault } from '../dependency-error.ts';

/**
 * Error replies by their first word, which is the protocol's error code. What is not listed is `failed`: the
 * server answered that it could not (OOM, READONLY, LOADING, BUSY, MISCONF, CLUSTERDOWN, TRYAGAIN, ...).
 */
const faultByReplyCode: Readonly<Record<string, DependencyFault>> = {
  NOAUTH: 'misconfigured',
  WRONGPASS: 'misconfigured',
  NOPERM: 'misconfigured',
  DENIED: 'misconfigured',
  NOPROTO: 'misconfigured',
  // One node of a cluster was configured as if it were all of it.
  MOVED: 'misconfigured',
  ASK: 'misconfigured',
  CROSSSLOT: 'misconfigured',
  WRONGTYPE: 'malformed',
};

/** Node's own codes; the rest of them (ECONNREFUSED, ECONNRESET, ENOTFOUND, EPIPE, ...) say `unreachable`. */
const faultBySystemCode: Readonly<Record<string, DependencyFault>> = {
  ETIMEDOUT: 'timeout',
  CERT_HAS_EXPIRED: 'misconfigured',
  CERT_NOT_YET_VALID: 'misconfigured',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'misconfigured',
  SELF_SIGNED_CERT_IN_CHAIN: 'misconfigured',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'misconfigured',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'misconfigured',
  ERR_TLS_CERT_ALTNAME_INVALID: 'misconfigured',
};

const replyErrorNames = new Set(['ReplyError', 'SimpleError', 'BlobError', 'ErrorReply']);
const maxDetailCharacters = 200;

/**
 * The only door for ioredis' errors. They carry the command with its arguments, a password among them when
 * it was AUTH or HELLO, and a reply may quote these; so nothing of the original but its cut message goes on.
 */
export function dependencyErrorFrom(error: unknown): DependencyError {
  if (error instanceof DependencyError) return error;
  if (!(error instanceof Error)) return new DependencyError('redis', 'failed');
  // No node of a cluster answered; the last of their errors says why.
  if ('lastNodeError' in error && error.lastNodeError instanceof Error) {
    return dependencyErrorFrom(error.lastNodeError);
  }
  const isReply = replyErrorNames.has(error.name);
  return new DependencyError('redis', isReply ? faultOfReply(error.message) : faultOfClient(error), {
    detail: printable(error.message),
  });
}

/** True for a server that has not got the script. */
export function isScriptMissing(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}

/** True for a server that is (or became) a replica: another one takes the writes now. */
export function isReadonlyReplica(error: Error): boolean {
  return error.message.startsWith('READONLY');
}

function faultOfReply(message: string): DependencyFault {
  const [code = ''] = message.split(' ', 1);
  if (code === 'ERR' && message.startsWith('ERR max number of clients')) return 'overloaded';
  if (code === 'ERR' && message.startsWith('ERR unknown command')) return 'misconfigured';
  return faultByReplyCode[code] ?? 'failed';
}

function faultOfClient(error: Error): DependencyFault {
  if (error.message.startsWith('Socket timeout')) return 'timeout';
  if (error.message.startsWith('Too many Cluster redirections')) return 'failed';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return faultBySystemCode[code] ?? 'unreachable';
}

/** An "unknown command" reply quotes the arguments after these words. */
function printable(message: string): string {
  return (message.split(', with args', 1)[0] ?? '').slice(0, maxDetailCharacters);
}
