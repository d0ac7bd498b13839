import type { ErrorCode } from './frame.ts';

/** What the peer did that ends its connection (RFC 9113 section 5.4.1). */
export class ConnectionFault extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
