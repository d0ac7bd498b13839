/** What the peer sent that is no request: it is told the status, and its connection ends (RFC 9112 section 9.6). */
export class RequestFault extends Error {
  readonly status: FaultStatus;

  constructor(status: FaultStatus, message: string) {
    super(message);
    this.status = status;
  }
}

export type FaultStatus = 400 | 408 | 417 | 431;
