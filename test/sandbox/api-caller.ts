import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createInterface } from 'node:readline';

export interface ApiServerAddress {
  readonly url: string;
  readonly caPem?: string;
}

export interface CallOptions {
  /** Absent: no Authorization header. */
  readonly token?: string | undefined;
  /** Sent as JSON, a string as it is. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly contentType: string;
  /** Parsed JSON; a text that is none comes as it is. */
  readonly body: unknown;
}

export interface WatchLine {
  readonly type: string;
  readonly object: unknown;
}

export interface WatchStream {
  /** Waits for this many further lines; rejects when the stream ends before. */
  readonly next: (count: number) => Promise<readonly WatchLine[]>;
  /** All lines up to the stream's end. */
  readonly rest: () => Promise<readonly WatchLine[]>;
  readonly close: () => void;
}

/** Plain HTTP to an API server, so that no client of ours or of others hides what it answers. */
export interface ApiCaller {
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<ApiAnswer>;
  readonly watch: (path: string, options?: CallOptions) => Promise<WatchStream>;
}

const timeoutMs = 10_000;

export function createApiCaller({ url, caPem }: ApiServerAddress): ApiCaller {
  async function send(method: string, path: string, options: CallOptions, signal: AbortSignal) {
    const { token, body, contentType = 'application/json', accept } = options;
    const target = new URL(path, url);
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const common = {
      method,
      signal,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(accept === undefined ? {} : { accept }),
        // Node would send the body of a DELETE without saying how long it is.
        ...(text === undefined
          ? {}
          : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
      },
    };
    const outgoing =
      caPem === undefined ? httpRequest(target, common) : httpsRequest(target, { ...common, ca: caPem });
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>;
    outgoing.end(text);
    const [answer] = await answered;
    // A server may answer before it has read everything and close; the answer counts.
    outgoing.on('error', () => undefined);
    return answer;
  }

  return {
    call: async (method, path, options = {}) => {
      const answer = await send(method, path, options, AbortSignal.timeout(timeoutMs));
      let text = '';
      answer.setEncoding('utf8');
      for await (const chunk of answer) text += chunk;
      return {
        status: answer.statusCode ?? 0,
        contentType: answer.headers['content-type'] ?? '',
        body: parsed(text),
      };
    },
    watch: async (path, options = {}) => {
      const left = new AbortController();
      const answer = await send('GET', path, options, left.signal);
      if (answer.statusCode !== 200) throw new Error(`the watch was answered with ${answer.statusCode}`);
      answer.on('error', () => undefined);
      const lines = createInterface({ input: answer })[Symbol.asyncIterator]();
      const read = async (): Promise<WatchLine | undefined> => {
        const line = await lines.next();
        return line.done === true ? undefined : (parsed(line.value) as WatchLine);
      };
      return {
        next: async (count) => {
          const events: WatchLine[] = [];
          while (events.length < count) {
            const line = await read();
            if (line === undefined)
              throw new Error(`the watch ended after ${events.length} of ${count} events`);
            events.push(line);
          }
          return events;
        },
        rest: async () => {
          const all: WatchLine[] = [];
          for (let line = await read(); line !== undefined; line = await read()) all.push(line);
          return all;
        },
        close: () => left.abort(),
      };
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What lies at the end of the keys in a JSON value; undefined where a step is missing. */
export function at(value: unknown, ...keys: readonly (string | number)[]): unknown {
  let here: unknown = value;
  for (const key of keys)
    here =
      typeof here === 'object' && here !== null ? (here as Record<string | number, unknown>)[key] : undefined;
  return here;
}

/** The text there; '' where there is none. */
export function textAt(value: unknown, ...keys: readonly (string | number)[]): string {
  const text = at(value, ...keys);
  return typeof text === 'string' ? text : '';
}

/** The entries of a list's answer. */
export function itemsOf(list: unknown): readonly unknown[] {
  const items = at(list, 'items');
  return Array.isArray(items) ? items : [];
}

export function nameOf(object: unknown): string {
  return textAt(object, 'metadata', 'name');
}

export function versionOf(object: unknown): string {
  return textAt(object, 'metadata', 'resourceVersion');
}
