import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { readBytes } from '../read-bytes.ts';
import { badRequest, requestTooLarge, unsupportedMediaType } from './status.ts';

/** As the real server's `--max-resource-write-bytes`: 3 MiB. */
const maxBodyBytes = 3 * 1024 * 1024;

/** The media type of a body, lower-case and without parameters; JSON when none is named. */
export function mediaTypeOf(headers: IncomingHttpHeaders): string {
  const [mediaType = ''] = (headers['content-type'] ?? '').split(';');
  return mediaType.trim().toLowerCase() || 'application/json';
}

/**
 * The body as JSON; undefined when it is empty. Throws a StatusError: 413 over 3 MiB, 400 for what is no
 * JSON, 415 for another media type. Those of patches are judged by readPatch. The real server takes YAML and
 * protobuf too.
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const bytes = await readBytes(request, maxBodyBytes);
  if (bytes === undefined) throw requestTooLarge(maxBodyBytes);
  if (bytes.length === 0) return undefined;
  if (request.method !== 'PATCH' && mediaTypeOf(request.headers) !== 'application/json')
    throw unsupportedMediaType(
      'the body of the request was in an unknown format; accepted: application/json',
    );
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    throw badRequest('the object provided is unrecognized: the body is not JSON');
  }
}
