import type { IncomingMessage, ServerResponse } from 'node:http';

export interface OpsReadiness {
  readonly isReady: boolean;
  /** Shown as JSON: which part is how, and why. Nothing secret. */
  readonly report: unknown;
}

export interface OpsMetrics {
  readonly contentType: string;
  readonly text: string;
}

export interface OpsRoutesOptions {
  readonly readiness: () => OpsReadiness;
  readonly metrics: () => Promise<OpsMetrics>;
  /** Hears why metrics could not be rendered; whoever asked hears only that. */
  readonly onError: (error: unknown) => void;
}

export type OpsListener = (request: IncomingMessage, response: ServerResponse) => void;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

type Route = () => Answer | Promise<Answer>;

const plain = 'text/plain; charset=utf-8';
const json = 'application/json; charset=utf-8';

/**
 * What probes and Prometheus ask.
 *
 * - `/livez`: 200 as long as the event loop turns; a dependency never decides it, or an outage of one would
 *   restart every replica
 * - `/readyz`: 200 while requests are taken, 503 before and while draining; the parts as JSON either way
 * - `/metrics`: exposition format
 *
 * GET and HEAD only, each path exactly.
 */
export function createOpsRoutes(options: OpsRoutesOptions): OpsListener {
  const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
    ['/livez', () => ({ status: 200, type: plain, body: 'ok\n' })],
    [
      '/readyz',
      () => {
        const { isReady, report } = options.readiness();
        return { status: isReady ? 200 : 503, type: json, body: `${JSON.stringify(report)}\n` };
      },
    ],
    [
      '/metrics',
      async () => {
        const { contentType, text } = await options.metrics();
        return { status: 200, type: contentType, body: text };
      },
    ],
  ]);

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    const [path = ''] = (request.url ?? '').split('?', 1);
    const route = routes.get(path);
    if (route === undefined) return { status: 404, type: plain, body: 'not found\n' };
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return { status: 405, type: plain, body: 'only GET and HEAD\n' };
    }
    try {
      return await route();
    } catch (error) {
      options.onError(error);
      return { status: 500, type: plain, body: 'internal error\n' };
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, type, body } = await answerTo(request);
    response.statusCode = status;
    response.setHeader('Content-Type', type);
    response.setHeader('Content-Length', Buffer.byteLength(body));
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (status === 405) response.setHeader('Allow', 'GET, HEAD');
    // A body is nothing that we read; the connection that carries one is not used again.
    if (hasBody(request)) response.setHeader('Connection', 'close');
    response.end(request.method === 'HEAD' ? undefined : body);
  }

  return (request, response) => void answer(request, response);
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}
