import { Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface Sent {
  readonly method?: string;
  /** Goes out as it stands: nothing is normalised. */
  readonly path: string;
  /** An array sends the header several times. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
}

export interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Of an OpenAI-shaped error; undefined if the body is none. */
  readonly error: Readonly<Record<string, unknown>> | undefined;
  readonly durationMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 500 });

/** One request to a gateway on loopback, over kept connections, without fetch's view of what a URL is. */
export function send(
  port: number,
  { method = 'POST', path, headers = {}, body = '' }: Sent,
): Promise<Answered> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, method, path, agent, headers: headers as Record<string, string | string[]> },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => (text += chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text,
            error: errorOf(text),
            durationMs: performance.now() - startedAtMs,
          }),
        );
      },
    );
    outgoing.setTimeout(20_000, () => outgoing.destroy(new Error(`no answer to ${path}`)));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const llama = '/llm/llama/v1/chat/completions';
const question = JSON.stringify({ model: 'llama', messages: [{ role: 'user', content: 'Hello' }] });

/** A chat completion, by default of `llm/llama`. */
export function chat(port: number, token: string | undefined, path = llama): Promise<Answered> {
  return send(port, {
    path,
    headers: {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: question,
  });
}

function errorOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const body = JSON.parse(text) as { readonly error?: Readonly<Record<string, unknown>> };
    return body.error;
  } catch {
    return undefined;
  }
}

/** The parts of an answer that say why: in the header and in the body the reason must be the same. */
export function outcome({ status, headers, error }: Answered) {
  return { status, reason: headers['x-tiergate-reason'], inBody: error?.['reason'] };
}

export function denial(status: number, reason: string) {
  return { status, reason, inBody: reason };
}
