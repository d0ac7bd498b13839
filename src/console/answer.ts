import type { ServerResponse } from 'node:http';
import type { Refusal } from './refusal.ts';

/** What is sent back; bytes of a page, or a value as JSON. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: object;
  readonly page?: { readonly type: string; readonly bytes: Buffer };
}

/**
 * On every answer. Nothing but the page's own files runs, loads or is sent to; nothing frames it; nothing of it is
 * kept by a browser or a proxy.
 */
const always: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'Cache-Control': 'no-store',
};

export function sendAnswer(response: ServerResponse, answer: Answer, isHead: boolean): void {
  const { status, headers = {}, json, page } = answer;
  const bytes = page?.bytes ?? (json === undefined ? undefined : Buffer.from(JSON.stringify(json)));
  response.writeHead(status, {
    ...always,
    ...(bytes !== undefined && {
      'Content-Type': page?.type ?? 'application/json; charset=utf-8',
      'Content-Length': bytes.length,
    }),
    ...headers,
  });
  response.end(isHead ? undefined : bytes);
}

/** In the shape of the token API's errors, so that one reader does for both. */
export function answerRefusal({ status, reason, message, retryAfterMs }: Refusal): Answer {
  return {
    status,
    headers: {
      ...(status === 401 && { 'WWW-Authenticate': 'Bearer realm="tiergate-console"' }),
      ...(retryAfterMs !== undefined && {
        'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1000))),
      }),
    },
    json: { error: { reason, message } },
  };
}
