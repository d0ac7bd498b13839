import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { DependencyError, type DependencyFault } from '../../src/dependency-error.ts';
import { dependencyErrorFrom, isReadonlyReplica, isScriptMissing } from '../../src/redis/fault.ts';

function replyError(message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' });
}

function systemError(code: string): Error {
  return Object.assign(new Error(`connect ${code} 127.0.0.1:6379`), { code });
}

const replies: readonly (readonly [string, DependencyFault])[] = [
  ['NOAUTH Authentication required.', 'misconfigured'],
  ['WRONGPASS invalid username-password pair or user is disabled.', 'misconfigured'],
  ["NOPERM this user has no permissions to run the 'evalsha' command", 'misconfigured'],
  ['MOVED 3999 127.0.0.1:6381', 'misconfigured'],
  ["CROSSSLOT Keys in request don't hash to the same slot", 'misconfigured'],
  ["ERR unknown command 'EVALSHA'", 'misconfigured'],
  ['ERR max number of clients reached', 'overloaded'],
  ["OOM command not allowed when used memory > 'maxmemory'.", 'failed'],
  ["READONLY You can't write against a read only replica.", 'failed'],
  ['LOADING Redis is loading the dataset in memory', 'failed'],
  ['BUSY Redis is busy running a script.', 'failed'],
  ['MISCONF Redis is configured to save RDB snapshots', 'failed'],
  ['CLUSTERDOWN The cluster is down', 'failed'],
  ['ERR something nobody has heard of', 'failed'],
];

const clientErrors: readonly (readonly [Error, DependencyFault])[] = [
  [systemError('ECONNREFUSED'), 'unreachable'],
  [systemError('ECONNRESET'), 'unreachable'],
  [systemError('ENOTFOUND'), 'unreachable'],
  [systemError('ETIMEDOUT'), 'timeout'],
  [systemError('ERR_TLS_CERT_ALTNAME_INVALID'), 'misconfigured'],
  [new Error('Connection is closed.'), 'unreachable'],
  [new Error("Stream isn't writeable and enableOfflineQueue options is false"), 'unreachable'],
  [new Error("Socket timeout. Expecting data, but didn't receive any in 1000ms."), 'timeout'],
  [new Error('Too many Cluster redirections. Last error: ReplyError: MOVED 1 127.0.0.1:1'), 'failed'],
];

describe('a fault of Redis', () => {
  it.each(replies)('from the reply "%s" is %s', (message, code) => {
    expect(dependencyErrorFrom(replyError(message))).toMatchObject({ dependency: 'redis', code });
  });

  it.each(clientErrors)('from the client, "%s", is %s', (error, code) => {
    expect(dependencyErrorFrom(error)).toMatchObject({ dependency: 'redis', code });
  });

  it('says why no node of a cluster answered', () => {
    const error = Object.assign(new Error('Failed to refresh slots cache.'), {
      lastNodeError: replyError('NOAUTH Authentication required.'),
    });
    expect(dependencyErrorFrom(error).code).toBe('misconfigured');
  });

  it('is passed on as it is when it is one already', () => {
    const error = new DependencyError('redis', 'timeout');
    expect(dependencyErrorFrom(error)).toBe(error);
  });

  it('names the reply for the log, and nothing of the command that failed', () => {
    const error = Object.assign(
      replyError("ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'me' 'hunter2'"),
      { command: { name: 'hello', args: ['3', 'AUTH', 'me', 'hunter2'] } },
    );
    const shown = inspect(dependencyErrorFrom(error), { depth: 10, showHidden: true });
    expect(shown).toContain("unknown command 'HELLO'");
    expect(shown).not.toContain('hunter2');
  });

  it('tells a missing script and a read-only replica from the rest', () => {
    expect(isScriptMissing(replyError('NOSCRIPT No matching script.'))).toBe(true);
    expect(isScriptMissing(replyError('ERR no NOSCRIPT'))).toBe(false);
    expect(isReadonlyReplica(replyError("READONLY You can't write against a read only replica."))).toBe(true);
    expect(isReadonlyReplica(replyError('ERR READONLY'))).toBe(false);
  });
});
