import { Agent, request } from 'node:https';

export interface KubeClientOptions {
  readonly url: string;
  readonly caPem: string;
  readonly token: string;
}

interface KubeAnswer {
  readonly status: number;
  /** Parsed JSON; a text that is not JSON comes as it is. */
  readonly body: unknown;
}

/** Plain requests to the Kubernetes API, so that a test does not check the product's client by itself. */
export interface KubeClient {
  readonly get: (path: string, signal?: AbortSignal) => Promise<KubeAnswer>;
  readonly post: (path: string, body: object) => Promise<KubeAnswer>;
  readonly put: (path: string, body: object) => Promise<KubeAnswer>;
  readonly delete: (path: string) => Promise<KubeAnswer>;
  /** Server-side apply of a whole object; a field that the API does not know is refused, one of somebody else's is taken. */
  readonly apply: (path: string, body: object) => Promise<KubeAnswer>;
}

const json = 'application/json';
/** JSON is YAML. */
const applyPatch = 'application/apply-patch+yaml';

interface Sent {
  readonly body?: object;
  readonly signal?: AbortSignal;
  readonly type?: string;
}

/** Every answer is returned, whatever its status; throws when none came within 10 s. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  const agent = new Agent({ keepAlive: true, ca: options.caPem });
  const send = (
    method: string,
    path: string,
    { body, signal, type = json }: Sent = {},
  ): Promise<KubeAnswer> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        new URL(path, options.url),
        {
          method,
          agent,
          signal: signal ?? AbortSignal.timeout(10_000),
          headers: { authorization: `Bearer ${options.token}`, 'content-type': type },
        },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (chunk: string) => (text += chunk));
          answer.on('error', reject);
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: parsed(text) }));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  return {
    get: (path, signal) => send('GET', path, signal === undefined ? {} : { signal }),
    post: (path, body) => send('POST', path, { body }),
    put: (path, body) => send('PUT', path, { body }),
    delete: (path) => send('DELETE', path),
    apply: (path, body) =>
      send('PATCH', `${path}?fieldManager=tiergate-test&force=true&fieldValidation=Strict`, {
        body,
        type: applyPatch,
      }),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
