import { DependencyError, type DependencyFault } from '../dependency-error.ts';
import type { MintRefusal } from '../issue/fresh-token.ts';
import type { Secret } from '../secret.ts';

/** More than any answer that is read here. */
const maxAnswerBytes = 256 * 1024;

export interface IssuerQuestion {
  readonly target: URL;
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Of the cluster. */
  readonly clusterToken: Secret;
  /** Sent as JSON. */
  readonly body?: object;
  readonly timeoutMs: number;
}

export interface IssuerAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** A path of the token API under its prefix. */
export function apiUrl(url: URL, path: string): URL {
  return new URL(`${url.pathname.replace(/\/+$/, '')}${path}`, url);
}

/**
 * One request as a user of the cluster. Follows no redirect, since the cluster's token would go along. Throws
 * DependencyError (`issuer`) for whatever is no answer of HTTP.
 */
export function sendToIssuer(question: IssuerQuestion): Promise<IssuerAnswer> {
  const { target, method, clusterToken, body, timeoutMs } = question;
  return send(target, {
    method,
    redirect: 'manual',
    headers: {
      authorization: `Bearer ${clusterToken.reveal()}`,
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
  });
}

async function send(url: URL, init: RequestInit): Promise<IssuerAnswer> {
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

export function refusalFrom({ status, body }: IssuerAnswer): MintRefusal {
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

export function fault(code: DependencyFault, detail: string): DependencyError {
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

export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
