import type { HeaderField } from './header-table.ts';
import type { RequestHead } from './request-head.ts';

/** One request and its answer. */
export interface Stream {
  readonly id: number;
}

/** What takes the body of a request. */
export interface StreamReceiver {
  /** A piece of the body, in memory that stays; `isEnd` with the last one, which may be empty. */
  readonly receive: (bytes: Buffer, isEnd: boolean) => void;
  /** Nobody waits for the answer any more: it was reset by either side, or the connection is lost. */
  readonly cancelled: () => void;
}

/**
 * Told of every request. The array is used for other requests again; some fields are missing where the list was too
 * long. May answer at once.
 */
export type BeginStream = (
  stream: Stream,
  head: RequestHead,
  fields: readonly HeaderField[],
  isTooLong: boolean,
) => StreamReceiver;

export interface OpenStream extends Stream {
  receiver: StreamReceiver;
  sendWindow: number;
  receiveWindow: number;
  /** Of its body, on the account of the connection's window. */
  unconsumedBytes: number;
  bodyBytes: number;
  /** As its header says; -1: it does not. */
  readonly contentLength: number;
  isReceived: boolean;
}
