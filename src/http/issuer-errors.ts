import type { FastifyError, FastifyInstance, FastifySchemaValidationError } from 'fastify';

import { type Denied, denied } from '../check/outcome.ts';
import { isDependencyError } from '../dependency-error.ts';
import { type NamedDenied, refuse } from './refuse.ts';

/** Told of what an answer does not say: a dependency that could not tell, or a bug. */
export type ReportFault = (fault: {
  readonly requestId: string;
  readonly route: string;
  readonly error: unknown;
}) => void;

/** Every way for a request to fail ends in OpenAI's error shape; causes go to the log, never to the client. */
export function registerErrorHandlers(
  app: Pick<FastifyInstance, 'setErrorHandler'>,
  reportFault: ReportFault,
): void {
  app.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const refusal = refusalOf(error);
    if (refusal.reason === 'internal' || isDependencyError(error)) {
      reportFault({ requestId: request.id, route: request.routeOptions.url ?? 'none', error });
    }
    return refuse(reply, refusal);
  });
}

/**
 * A dependency that could not tell, as a denial: what is asked of the cluster is who is who, whatever else is asked
 * holds the counters.
 */
export function refusalOf(error: unknown): NamedDenied {
  if (isDependencyError(error)) return unavailable(error);
  if (!(error instanceof Error)) return internal();
  const { code, validation, validationContext, statusCode } = error as Partial<FastifyError>;
  if (validation?.[0] !== undefined) return invalidField(validation[0], validationContext ?? 'body');
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE' || statusCode === 413) {
    return denied('body_too_large', 'The body is larger than 1 MiB.');
  }
  if (statusCode === 400 || error instanceof SyntaxError) {
    return {
      ...denied('request_invalid', 'The request can not be read; its body must be JSON.'),
      param: 'body',
    };
  }
  return internal();
}

function unavailable(error: {
  readonly dependency: string;
  readonly retryAfterMs: number | undefined;
}): Denied {
  const more = { retryAfterMs: error.retryAfterMs ?? 2000, cause: error };
  return error.dependency === 'kubernetes'
    ? denied('identity_unavailable', 'The cluster can not be asked right now.', more)
    : denied('limit_unavailable', 'Your use can not be read right now.', more);
}

function internal(): Denied {
  return denied('internal', 'The token API failed; the request id helps to find out why.');
}

/** The first thing that is wrong, by the name of its field: `groups.0`. */
function invalidField(problem: FastifySchemaValidationError, context: string): NamedDenied {
  const path = problem.instancePath
    .split('/')
    .filter((part) => part !== '')
    .map(unescapePointer);
  const { additionalProperty, missingProperty, type } = problem.params;
  if (typeof additionalProperty === 'string') {
    if (!fieldName.test(additionalProperty)) {
      return { ...denied('request_invalid', 'There is a field whose name is none.'), param: context };
    }
    const param = [...path, additionalProperty].join('.');
    return { ...denied('request_invalid', `Unknown field ${quoted(param)}.`), param };
  }
  if (typeof missingProperty === 'string') {
    const param = [...path, missingProperty].join('.');
    return { ...denied('request_invalid', `The field ${quoted(param)} is missing.`), param };
  }
  const param = path.length === 0 ? context : path.join('.');
  const problemText =
    problem.keyword === 'type'
      ? `must be ${String(type).replaceAll(',', ' or ')}`
      : problem.keyword === 'pattern'
        ? 'holds characters that it may not'
        : (problem.message ?? 'is invalid');
  return { ...denied('request_invalid', `${param} ${problemText}.`), param };
}

/** Anything else is not said again: it may be a token in the wrong place. */
const fieldName = /^[a-z]\w{0,31}$/i;

/** RFC 6901 section 4. */
function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

/** A name that the client sent goes back cut short. */
function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 100));
}
