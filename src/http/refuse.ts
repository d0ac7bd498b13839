import type { FastifyReply } from 'fastify';

import { denialAnswer } from '../check/answer.ts';
import { type Denied, denied } from '../check/outcome.ts';

/** A refusal that may name the field it is about. */
export type NamedDenied = Denied & { readonly param?: string };

/** Answers with a refusal in OpenAI's shape, as the gateway does. */
export function refuse(reply: FastifyReply, refusal: NamedDenied): FastifyReply {
  const { status, headers, body } = denialAnswer(refusal, 'tiergate', refusal.param ?? null);
  return reply
    .code(status)
    .headers(Object.fromEntries(headers))
    .header('cache-control', 'no-store')
    .send(body);
}

/** The same where HTTP has a status and word of its own for what is not there; the reason is kept. */
export function refuseAsNotFound(reply: FastifyReply, refusal: NamedDenied): FastifyReply {
  return refuseAs(reply, refusal, { status: 404, code: 'not_found' });
}

/** The path is there, the method is not (RFC 9110 section 15.5.6). */
export function refuseMethod(reply: FastifyReply, allow: string): FastifyReply {
  const refusal = denied('path_invalid', `This path takes ${allow} only.`);
  return refuseAs(reply.header('allow', allow), refusal, { status: 405, code: 'method_not_allowed' });
}

function refuseAs(
  reply: FastifyReply,
  refusal: NamedDenied,
  { status, code }: { readonly status: number; readonly code: string },
): FastifyReply {
  const { headers } = denialAnswer(refusal, 'tiergate');
  const error = {
    message: refusal.detail,
    type: 'invalid_request_error',
    param: refusal.param ?? null,
    code,
    reason: refusal.reason,
  };
  return reply.code(status).headers(Object.fromEntries(headers)).send(JSON.stringify({ error }));
}
