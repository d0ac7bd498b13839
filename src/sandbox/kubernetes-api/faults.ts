import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, isWatchAnswer, serialized, statusAnswer, writeAnswer } from './answer.ts';
import { isResourceAccess } from './rbac.ts';
import { type RequestInfo, requestTarget, type ResourceVerb } from './request-info.ts';
import { StatusError } from './status.ts';

/**
 * A way for the server to fail, for whoever wants to see what its clients do then.
 *
 * - `status`: answers with that code and a Status, and does not do what was asked
 * - `slow`: answers after `delayMs`
 * - `hang`: never answers; the connection stays open until the client leaves or the server stops
 * - `garbage`: answers 200 with a body that is not JSON; what was asked is done
 * - `half-body`: promises the whole body, sends half of it and cuts the connection; what was asked is done
 * - `cut`: ends the connection without an answer
 */
export type Fault = FaultScope &
  (
    | { readonly mode: 'status'; readonly code: number; readonly retryAfterSeconds?: number }
    | { readonly mode: 'slow'; readonly delayMs: number }
    | { readonly mode: 'hang' | 'garbage' | 'half-body' | 'cut' }
  );

export interface FaultScope {
  /** As requestTarget() says: `tokenreviews`, `serviceaccounts/token`, `/openid/v1/jwks`; `*` is everything. */
  readonly resource: string;
  /** Only for this verb. */
  readonly verb?: ResourceVerb;
  /** Only this often; until it is lifted when absent. */
  readonly times?: number;
}

export interface Faults {
  /** The newest fault that fits wins; returns the way to lift it. */
  readonly inject: (fault: Fault) => () => void;
  /** The fault for a request, counted as used. */
  readonly take: (info: RequestInfo) => Fault | undefined;
}

export function createFaults(): Faults {
  let active: readonly { readonly fault: Fault; left: number }[] = [];
  return {
    inject: (fault) => {
      const entry = { fault, left: fault.times ?? Number.POSITIVE_INFINITY };
      active = [entry, ...active];
      return () => {
        active = active.filter((other) => other !== entry);
      };
    },
    take: (info) => {
      const entry = active.find(({ fault, left }) => left > 0 && concerns(fault, info));
      if (entry === undefined) return undefined;
      entry.left -= 1;
      return entry.fault;
    },
  };
}

function concerns({ resource, verb }: FaultScope, info: RequestInfo): boolean {
  if (resource !== '*' && resource !== requestTarget(info)) return false;
  return verb === undefined || (isResourceAccess(info) && info.verb === verb);
}

const notJson = '<html><body>upstream says hello</body></html>';

/** Answers as the fault says; `answer` does what was asked and says what would have been answered. */
export async function answerWithFault(
  response: ServerResponse,
  fault: Fault,
  answer: () => Promise<Answer>,
): Promise<void> {
  switch (fault.mode) {
    case 'status':
      writeAnswer(response, statusAnswer(...injectedStatus(fault.code, fault.retryAfterSeconds)));
      return;
    case 'slow':
      await sleep(fault.delayMs, undefined, { ref: false });
      writeAnswer(response, await answer());
      return;
    case 'hang':
      return;
    case 'garbage':
      await answer();
      writeAnswer(response, { status: 200, body: notJson, contentType: 'application/json' });
      return;
    case 'half-body':
      writeHalf(response, await answer());
      return;
    case 'cut':
      response.destroy();
  }
}

function writeHalf(response: ServerResponse, answer: Answer): void {
  const whole = isWatchAnswer(answer) ? { status: 200, body: { type: 'ADDED', object: {} } } : { ...answer };
  const { bytes, headers } = serialized(whole);
  response.writeHead(whole.status, headers);
  response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => response.destroy());
}

const reasons: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function injectedStatus(code: number, retryAfterSeconds?: number) {
  const details = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  const { body } = new StatusError(code, reasons[code] ?? '', 'the sandbox was asked to fail', details);
  return [body, code] as const;
}
