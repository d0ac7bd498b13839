import { DependencyError, type DependencyFault } from '../dependency-error.ts';
import type { HeldToken, MintRefusal, MintRemotely } from '../issue/fresh-token.ts';
import { createSecret, type Secret } from '../secret.ts';

export interface TokenClientOptions {
  /** Of the token API, with its prefix: `https://gateway.example/maas-api`. */
  readonly url: URL;
  /** Of the cluster. */
  readonly clusterToken: Secret;
  readonly expiration: string | undefined;
  readonly name: string | undefined;
  readonly timeoutMs: number;
}

/** More than any token and its metadata. */
const maxAnswerBytes = 256 * 1024;

/**
 * Mints over HTTP. Follows no redirect, since the cluster's token would go along. Throws DependencyError (`issuer`) for
 * whatever is not an answer of the token API, and for its 5xx.
 */
export function createMintRemotely(options: TokenClientOptions): MintRemotely {
  const { url, clusterToken, expiration, name, timeoutMs } = options;
  const target = new URL(`${url.pathname.replace(/\/+$/, '')}/v1/tokens`, url);
  const body = {
    ...(expiration !== undefined && { expiration }),
    ...(name !== undefined && { name }),
  };
  return async () => {
    const answer = await send(target, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        authorization: `Bearer ${clusterToken.reveal()}`,
        'content-type': 'application/json',
        accept: 'application/json',
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (answer.status === 201) return heldFrom(answer.body);
    return refusalFrom(answer.status, answer.body);
  };
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function send(url: URL, init: RequestInit): Promise<Answer> {
  try {
    const response = await fetch(url, init);
    const text = await response.text();
    if (text.length > maxAnswerBytes) throw fault('malformed', 'the answer is too long');
    return { status: response.status, body: parsed(text) };
  } catch (error) {
    if (error instanceof DependencyError) throw error;
    const isLate = error instanceof Error && error.name === 'TimeoutError';
    throw fault(isLate ? 'timeout' : 'unreachable', `${url.host}${codeOf(error)}`);
  }
}

function heldFrom(body: unknown): HeldToken {
  const { token, id, issuedAt, expiresAt } = record(body);
  // Goes into shells and headers: nothing but what RFC 6750 lets a token hold.
  if (typeof token !== 'string' || !/^[A-Za-z0-9\-._~+/]+=*$/.test(token)) {
    throw fault('malformed', 'an answer without a token');
  }
  if (typeof issuedAt !== 'number' || typeof expiresAt !== 'number') {
    throw fault('malformed', 'a token without an end');
  }
  return {
    token: createSecret(token),
    id: typeof id === 'string' ? id : '',
    issuedAtMs: issuedAt * 1000,
    expiresAtMs: expiresAt * 1000,
  };
}

function refusalFrom(status: number, body: unknown): MintRefusal {
  const { message, reason, param } = record(record(body)['error']);
  const words = typeof message === 'string' ? message : `HTTP ${status}`;
  if (status >= 500 || status < 400) throw fault(status >= 500 ? 'failed' : 'malformed', words);
  return {
    refused: true,
    status,
    reason: typeof reason === 'string' ? reason : 'unknown',
    message: words,
    param: typeof param === 'string' ? param : undefined,
  };
}

function fault(code: DependencyFault, detail: string): DependencyError {
  return new DependencyError('issuer', code, { detail });
}

/** `fetch` hides the errno in the cause of a TypeError. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as { readonly code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? ` (${code})` : '';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
