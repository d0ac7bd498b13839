import { DependencyError, type DependencyFault } from './dependency-error.ts';
import type { Secret } from './secret.ts';

/** One HTTP request to a system that speaks JSON. */
export interface JsonCall {
  /** What it does, in the caller's words: for metrics and messages. Low cardinality. */
  readonly name: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  /** Sent as `Authorization: Bearer`. */
  readonly bearer?: Secret;
  readonly headers?: Readonly<Record<string, Secret>>;
  /** The text of the body: it may hold secrets, and is never part of an error. */
  readonly body?: Secret;
  /** Default `application/json`. */
  readonly contentType?: string;
}

export interface JsonAnswer {
  readonly status: number;
  /** Parsed JSON; undefined where there is none. */
  readonly body: unknown;
}

/**
 * Throws DependencyError when no answer came: too late or given up by the caller (`timeout`), refused, reset, no
 * such host (`unreachable`), too long or cut off (`malformed`). Every answer is a value, whatever its status.
 */
export type FetchJson = (call: JsonCall, signal: AbortSignal) => Promise<JsonAnswer>;

export interface FetchJsonOptions {
  /** What errors call the other side. */
  readonly dependency: string;
  /** From the call to the last byte of the answer, in ms. */
  readonly timeoutMs: number;
  /** Told of every call: for metrics. `status` is undefined where no answer came. */
  readonly onCall?: (call: JsonCall, status: number | undefined, durationMs: number) => void;
}

/** Lists of a few thousand entries fit; a body without an end does not. */
const maxAnswerBytes = 16 * 1024 * 1024;

export function createFetchJson(options: FetchJsonOptions): FetchJson {
  return async (call, signal) => {
    const startedAt = performance.now();
    const wait = waitFor(options.timeoutMs, signal);
    let status: number | undefined;
    try {
      const answer = await exchange(call, wait.signal);
      ({ status } = answer);
      return answer;
    } catch (error) {
      throw asDependencyError(error, call, options.dependency);
    } finally {
      wait.end();
      options.onCall?.(call, status, performance.now() - startedAt);
    }
  };
}

interface Wait {
  readonly signal: AbortSignal;
  readonly end: () => void;
}

/** Not AbortSignal.any: in Node 20 every signal made from a long-lived one stays in memory with it. */
function waitFor(timeoutMs: number, outer: AbortSignal): Wait {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const timer = setTimeout(abort, timeoutMs);
  outer.addEventListener('abort', abort);
  if (outer.aborted) abort();
  return {
    signal: controller.signal,
    end: () => {
      clearTimeout(timer);
      outer.removeEventListener('abort', abort);
    },
  };
}

async function exchange(call: JsonCall, signal: AbortSignal): Promise<JsonAnswer> {
  const { method, url, bearer, body } = call;
  const headers = new Headers({ accept: 'application/json' });
  for (const [name, value] of Object.entries(call.headers ?? {})) headers.set(name, value.reveal());
  if (bearer !== undefined) headers.set('authorization', `Bearer ${bearer.reveal()}`);
  if (body !== undefined) headers.set('content-type', call.contentType ?? 'application/json');
  // A token follows no redirect: the answer is handed on as it is, and is nobody's idea of success.
  const init = { method, headers, signal, redirect: 'manual', ...(body && { body: body.reveal() }) } as const;
  const response = await fetch(url, init);
  return { status: response.status, body: parsed(await readText(response)) };
}

async function readText(response: Response): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    if (bytes > maxAnswerBytes) throw new RangeError(`more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function asDependencyError(error: unknown, call: JsonCall, dependency: string): DependencyError {
  const detail = `${call.name} at ${originOf(call.url)}`;
  return new DependencyError(dependency, faultOf(error), { cause: error, detail });
}

function faultOf(error: unknown): DependencyFault {
  if (error instanceof RangeError) return 'malformed';
  if (error instanceof Error && error.name === 'AbortError') return 'timeout';
  // llhttp's codes: somebody answers there, and it is not HTTP.
  return codeOf(error).startsWith('HPE_') ? 'malformed' : 'unreachable';
}

/** fetch hides what happened in the cause of a TypeError. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
}

/** The error for an answer that its caller can not use. Its words are ours: the other side's may hold anything. */
export function faultFromStatus(dependency: string, call: JsonCall, status: number): DependencyError {
  return new DependencyError(dependency, faultOfStatus(status), {
    detail: `${call.name} at ${originOf(call.url)} was answered with HTTP ${status}`,
  });
}

function faultOfStatus(status: number): DependencyFault {
  if (status === 401 || status === 403) return 'misconfigured';
  if (status === 408) return 'timeout';
  if (status === 429) return 'overloaded';
  return status >= 500 ? 'failed' : 'malformed';
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : 'an address that is no URL';
}
