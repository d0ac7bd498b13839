import type { IncomingMessage } from 'node:http';
import { denied } from '../check/outcome.ts';
import { type Refusal, refusalFrom } from './refusal.ts';

/** A body of JSON that is an object, at most so many bytes of it. */
export async function readJsonBody(
  request: IncomingMessage,
  maxBytes: number,
): Promise<Readonly<Record<string, unknown>> | Refusal> {
  if (!/^application\/json(;|$)/i.test(request.headers['content-type'] ?? '')) {
    return refusalFrom(denied('request_invalid', 'The body must be application/json.'));
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      return refusalFrom(denied('body_too_large', `The body has more than ${maxBytes} bytes.`));
    }
    chunks.push(chunk);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
      return body as Readonly<Record<string, unknown>>;
    }
  } catch {
    // Told in the same words as any other value that is no object.
  }
  return refusalFrom(denied('request_invalid', 'The body must be a JSON object.'));
}
