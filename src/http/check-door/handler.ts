import type { Check } from '../../check/check.ts';
import type { CheckInput } from '../../check/check-input.ts';
import { type Denied, denied, isDenied, type Outcome } from '../../check/outcome.ts';
import type { Answer } from '../http1/answer.ts';
import type { Exchange, Receiver } from '../http1/exchange.ts';
import type { AnswerCheck } from './answer.ts';
import { type Peer, type ReadRequest, wantsBody } from './read-request.ts';

/**
 * Told of every answer once it was handed to the connection. `input` is undefined where the request could not be
 * read; `durationMs` runs from its headers to the answer.
 */
export type RecordOutcome = (outcome: Outcome, input: CheckInput | undefined, durationMs: number) => void;

export interface CheckHandlerOptions {
  readonly readRequest: ReadRequest;
  readonly check: Check;
  readonly answerCheck: AnswerCheck;
  readonly recordOutcome: RecordOutcome;
  /** Told of bugs: what Check, or the record of its outcome, threw. The caller has its answer by then. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** What becomes of the requests of one connection. */
export type CheckHandler = (peer: Peer, answer: SendAnswer) => Receiver;

type SendAnswer = (exchange: Exchange, answer: Answer) => void;

/** A request that has no answer yet. */
interface Asked {
  readonly exchange: Exchange;
  readonly send: SendAnswer;
  input: CheckInput | undefined;
}

/**
 * One request to the door: always answered, and synchronously as long as Check is. A bug is a denial (`internal`),
 * as through the gRPC door.
 */
export function createCheckHandler(options: CheckHandlerOptions): CheckHandler {
  const { readRequest, check, answerCheck, recordOutcome, onError } = options;

  const bugAnswer = answerCheck(bugOutcome(undefined), nothingForged);

  function answerOutcome(asked: Asked, outcome: Outcome): void {
    let answer: Answer;
    try {
      answer = answerCheck(outcome, asked.input?.forgedHeaders ?? nothingForged);
    } catch (cause) {
      answerBug(asked, cause);
      return;
    }
    asked.send(asked.exchange, answer);
    record(asked, outcome);
  }

  function answerBug(asked: Asked, cause: unknown): void {
    asked.send(asked.exchange, bugAnswer);
    record(asked, bugOutcome(cause));
    onError(cause);
  }

  function record({ exchange, input }: Asked, outcome: Outcome): void {
    try {
      recordOutcome(outcome, input, performance.now() - exchange.receivedAtMs);
    } catch (error) {
      onError(error);
    }
  }

  function decide(asked: Asked, peer: Peer): void {
    const { head, body, isBodyTooLong } = asked.exchange;
    let outcome: Outcome | Promise<Outcome>;
    try {
      const read = isBodyTooLong ? bodyTooLarge() : readRequest(head, body, peer);
      if (isDenied(read)) {
        outcome = read;
      } else {
        asked.input = read;
        outcome = check(read);
      }
    } catch (cause) {
      answerBug(asked, cause);
      return;
    }
    if (outcome instanceof Promise) answerLater(asked, outcome);
    else answerOutcome(asked, outcome);
  }

  function answerLater(asked: Asked, outcome: Promise<Outcome>): void {
    outcome
      .then(
        (decided) => answerOutcome(asked, decided),
        (cause: unknown) => answerBug(asked, cause),
      )
      .catch(onError);
  }

  return (peer, send) => ({
    wantsBody,
    receive: (exchange) => decide({ exchange, send, input: undefined }, peer),
  });
}

const nothingForged: readonly string[] = [];

function bugOutcome(cause: unknown): Denied {
  return denied('internal', 'The request could not be checked.', { cause });
}

function bodyTooLarge(): Denied {
  return denied('body_too_large', 'The body is larger than the gateway takes.');
}
