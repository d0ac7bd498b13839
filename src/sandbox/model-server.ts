import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { createLoopbackServer } from './loopback-server.ts';
import { readBytes } from './read-bytes.ts';
import { answerBody, answerEvents, type SampleEvent } from './sample-answer.ts';
import {
  type Endpoint,
  type InferenceRequest,
  isUnreadable,
  readInferenceRequest,
} from './sample-completion.ts';

/** A request as it arrived at the model, whatever the answer will be. */
export interface ModelRequest {
  readonly method: string;
  /** As sent, with its query: nothing is decoded or normalised. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as sent; shows a header that came twice. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface ModelServerOptions {
  /** 0, the default, takes a free one; kept when the server is started again. */
  readonly port?: number;
  /** Wait before an answer begins, in milliseconds. Default 0. */
  readonly answerDelayMs?: number;
  /** Wait before each chunk of a streamed answer, in milliseconds. Default 0. */
  readonly chunkDelayMs?: number;
  /** Called for every request whose body has arrived. */
  readonly onRequest?: (request: ModelRequest) => void;
  /** Called for every client that went away before its answer had ended. */
  readonly onLeft?: () => void;
  /** Default Date.now. */
  readonly now?: () => number;
}

/**
 * A model server without a model: speaks the OpenAI API and Anthropic's Messages under `/v1` and `/{namespace}/{model}/v1`
 * on 127.0.0.1, streamed or not, and says one sentence. It checks no credential: the gateway before it has.
 */
export interface ModelServer {
  /** Rejects when the port is taken. */
  readonly start: () => Promise<{ readonly url: string; readonly port: number }>;
  /** Ends every connection, streams too. */
  readonly stop: () => Promise<void>;
}

const maxBodyBytes = 1024 * 1024;
const route = /^(?:\/[^/]+\/([^/]+))?\/v1\/(chat\/completions|completions|embeddings|responses|messages)$/;

export function createModelServer(options: ModelServerOptions = {}): ModelServer {
  const { answerDelayMs = 0, chunkDelayMs = 0, now = Date.now } = options;
  const { start, stop } = createLoopbackServer({
    port: options.port ?? 0,
    onRequest: (request, response) => void serve(request, response),
  });
  let answered = 0;

  /** Settles always; a client that left ends it without an answer. */
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const left = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) options.onLeft?.();
      left.abort();
    });
    try {
      const bytes = await readBytes(request, maxBodyBytes);
      if (bytes === undefined) {
        writeError(response, 413, `the body is larger than ${maxBodyBytes} bytes`, {
          code: 'body_too_large',
        });
        return;
      }
      const { method = '', url: path = '', headers, rawHeaders } = request;
      const body = bytes.toString('utf8');
      options.onRequest?.({ method, path, headers, rawHeaders, body });
      if (answerDelayMs > 0) await sleep(answerDelayMs, undefined, { signal: left.signal });
      await answer(response, { method, path, headers, body }, left.signal);
    } catch (error) {
      if (left.signal.aborted) return;
      if (response.headersSent) response.destroy();
      else writeError(response, 500, String(error), { type: 'server_error' });
    }
  }

  async function answer(
    response: ServerResponse,
    { method, path, headers, body }: Pick<ModelRequest, 'method' | 'path' | 'headers' | 'body'>,
    signal: AbortSignal,
  ): Promise<void> {
    const [pathname = ''] = path.split('?');
    if (method === 'GET' && pathname === '/health') {
      writeJson(response, 200, { status: 'healthy' });
      return;
    }
    const [matched, model, endpoint] = route.exec(pathname) ?? [];
    if (matched === undefined) {
      writeError(response, 404, `there is nothing at ${pathname}`, { code: 'not_found' });
      return;
    }
    if (method !== 'POST') {
      writeError(response, 405, 'only POST is answered here', { code: 'method_not_allowed' });
      return;
    }
    const inference = readInferenceRequest(endpoint as Endpoint, model, parsed(body));
    if (isUnreadable(inference)) {
      writeError(response, 400, inference.message, { param: inference.param });
      return;
    }
    answered += 1;
    const stamp = { id: `chatcmpl-sample-${answered}`, createdAtMs: now() };
    if (inference.behaviour === 'hang') await untilLeft(signal);
    else if (inference.behaviour === 'error')
      writeError(response, 500, 'the sample model was told to fail', failed);
    else if (inference.stream) await writeStream(response, answerEvents(inference, stamp), signal);
    else writeJson(response, 200, answerBody(inference, stamp), isCompressed(inference, headers));
  }

  async function writeStream(
    response: ServerResponse,
    events: readonly SampleEvent[],
    signal: AbortSignal,
  ): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    response.flushHeaders();
    for (const { name, data } of events) {
      if (chunkDelayMs > 0) await sleep(chunkDelayMs, undefined, { signal });
      const text = typeof data === 'string' ? data : JSON.stringify(data);
      const event = `${name === undefined ? '' : `event: ${name}\n`}data: ${text}\n\n`;
      if (!response.write(event)) await once(response, 'drain', { signal });
    }
    response.end();
  }

  return { start, stop };
}

async function untilLeft(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

const failed = { type: 'server_error', code: 'internal_error' } as const;

/** Answers in one piece only: what is streamed is compressed by no model server. */
function isCompressed({ behaviour }: InferenceRequest, headers: IncomingHttpHeaders): boolean {
  if (behaviour === 'gzip-always') return true;
  return behaviour === 'gzip' && /\bgzip\b/.test(headers['accept-encoding'] ?? '');
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined;
  }
}

interface ErrorFields {
  readonly type?: string;
  readonly param?: string;
  readonly code?: string;
}

/** OpenAI's error object; every field is always there. */
function writeError(response: ServerResponse, status: number, message: string, fields: ErrorFields): void {
  const { type = 'invalid_request_error', param = null, code = null } = fields;
  writeJson(response, status, { error: { message, type, param, code } });
}

function writeJson(response: ServerResponse, status: number, body: unknown, isGzip = false): void {
  const text = Buffer.from(JSON.stringify(body));
  const bytes = isGzip ? gzipSync(text) : text;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    ...(isGzip && { 'content-encoding': 'gzip' }),
  });
  response.end(bytes);
}
