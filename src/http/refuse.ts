import type { FastifyReply } from 'fastify';

import { denialAnswer } from '../check/answer.ts';
import type { Denied } from '../check/outcome.ts';

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

/** The same where what was asked for is not there: the status and code that HTTP has for it, the reason kept. */
export function refuseAsNotFound(reply: FastifyReply, refusal: NamedDenied): FastifyReply {
  const { headers } = denialAnswer(refusal, 'tiergate');
  const error = {
    message: refusal.detail,
    type: 'invalid_request_error',
    param: refusal.param ?? null,
    code: 'not_found',
    reason: refusal.reason,
  };
  return reply.code(404).headers(Object.fromEntries(headers)).send(JSON.stringify({ error }));
}
