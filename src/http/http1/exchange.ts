import type { Answer } from './answer.ts';
import type { RequestHead } from './request-head.ts';

/** A whole request. */
export interface Exchange {
  readonly head: RequestHead;
  /** By `performance.now()`, of its head. */
  readonly receivedAtMs: number;
  /** Undefined: none came, or nobody wanted it. */
  readonly body: Buffer | undefined;
  /** It was not read to its end. */
  readonly isBodyTooLong: boolean;
}

/** A request on its way. */
export interface OpenExchange {
  readonly head: RequestHead;
  readonly receivedAtMs: number;
  body: Buffer | undefined;
  isBodyTooLong: boolean;
  /** Whether the connection ends with its answer. */
  isLast: boolean;
  answer: Answer | undefined;
}

/** Where the requests of one connection go. */
export interface Receiver {
  /** Whether the body of that request is to be kept; asked only where one comes. */
  readonly wantsBody: (head: RequestHead) => boolean;
  /** Has to be answered, at once or later, exactly once. */
  readonly receive: (exchange: Exchange) => void;
}
