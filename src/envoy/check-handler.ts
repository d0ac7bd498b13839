import type { Check } from '../check/check.ts';
import { denied, isDenied, type Outcome, type Refused } from '../check/outcome.ts';
import type { CheckRequestInput, ReadCheckRequest } from './check-request.ts';
import type { EncodeCheckResponse } from './check-response.ts';

/**
 * Told of every answer once it was handed to the transport. `input` is undefined where the request could not be
 * read; `durationMs` runs from its bytes to the answer's.
 */
export type RecordOutcome = (
  outcome: Outcome,
  input: CheckRequestInput | undefined,
  durationMs: number,
) => void;

export interface CheckHandlerOptions {
  readonly readCheckRequest: ReadCheckRequest;
  readonly check: Check;
  readonly encodeCheckResponse: EncodeCheckResponse;
  readonly recordOutcome: RecordOutcome;
  /** Told of bugs: what Check, or the record of its outcome, threw. The caller has its answer by then. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** `deadlineAtMs`: epoch milliseconds, infinite where the caller sets none. `send` is called once. Never throws. */
export type HandleCheck = (request: Buffer, deadlineAtMs: number, send: (response: Buffer) => void) => void;

/**
 * One Check call: always answered, and synchronously as long as Check is. A bug is a denied 500, never an RPC
 * that fails: what Envoy makes of a failed one is a matter of its configuration.
 */
export function createCheckHandler(options: CheckHandlerOptions): HandleCheck {
  const { readCheckRequest, check, encodeCheckResponse, recordOutcome, onError } = options;

  const bugAnswer = encodeCheckResponse(bugOutcome(undefined), nothingForged);

  return (request, deadlineAtMs, respond) => {
    const startedAtMs = performance.now();
    let input: CheckRequestInput | undefined;

    function send(outcome: Outcome, response: Buffer): void {
      respond(response);
      try {
        recordOutcome(outcome, input, performance.now() - startedAtMs);
      } catch (error) {
        onError(error);
      }
    }

    function answer(outcome: Outcome): void {
      let response: Buffer;
      try {
        response = encodeCheckResponse(outcome, input?.forgedHeaders ?? nothingForged);
      } catch (cause) {
        answerBug(cause);
        return;
      }
      send(outcome, response);
    }

    function answerBug(cause: unknown): void {
      send(bugOutcome(cause), bugAnswer);
      onError(cause);
    }

    let outcome: Outcome | Promise<Outcome>;
    try {
      const read = readCheckRequest(request, deadlineAtMs);
      if (isDenied(read)) {
        outcome = read;
      } else {
        input = read;
        outcome = check(read);
      }
    } catch (cause) {
      answerBug(cause);
      return;
    }
    if (outcome instanceof Promise) outcome.then(answer, answerBug);
    else answer(outcome);
  };
}

const nothingForged: readonly string[] = [];

function bugOutcome(cause: unknown): Refused {
  return denied('internal', 'The request could not be checked.', { cause });
}
