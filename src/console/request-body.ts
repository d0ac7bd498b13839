import type { IncomingMessage } from 'node:http';
import { denied } from '../check/outcome.ts';
import { isRefusal, type Refusal, refusalFrom } from './refusal.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A body that is told to be JSON, at most so many bytes of it, as it came. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | Refusal> {
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
  return Buffer.concat(chunks);
}

/** A body of JSON that is an object. To parse a byte may take a third of a microsecond, in which nothing else goes on. */
export async function readJsonBody(request: IncomingMessage, maxBytes: number): Promise<Fields | Refusal> {
  const bytes = await readBody(request, maxBytes);
  if (isRefusal(bytes)) return bytes;
  return parseFields(bytes) ?? refusalFrom(denied('request_invalid', notFields));
}

export const notFields = 'The body must be a JSON object.';

/** Undefined: no JSON, or no object. */
export function parseFields(bytes: Uint8Array): Fields | undefined {
  try {
    const body: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Fields) : undefined;
  } catch {
    return undefined;
  }
}
