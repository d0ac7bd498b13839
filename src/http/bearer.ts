import type { IncomingMessage } from 'node:http';

import type { CheckInput } from '../check/check-input.ts';
import { createReadCredential } from '../check/credential.ts';
import type { Denied } from '../check/outcome.ts';
import type { Secret } from '../secret.ts';

const nothing: CheckInput = {
  id: '',
  method: '',
  path: '',
  headers: new Map(),
  forgedHeaders: [],
  contextExtensions: new Map(),
  metadata: new Map(),
  source: '',
  deadlineAtMs: Number.POSITIVE_INFINITY,
};

const readCredential = createReadCredential({ headers: ['authorization'] });

/** The one bearer token of a request, by the same reading as behind the gateway. */
export function readBearer(request: IncomingMessage): Secret | Denied {
  // Node keeps the first of several; all of them are wanted, so that none passes unseen.
  const sent = request.headersDistinct['authorization'];
  const headers = new Map(sent === undefined ? [] : [['authorization', sent.join(',')]]);
  return readCredential({ ...nothing, headers });
}
