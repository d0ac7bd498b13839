import type { IncomingHttpHeaders } from 'node:http';
import type { RequestInfo } from './request-info.ts';

/** A request as it arrived, its body not read yet. */
export interface ApiRequest {
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Reads and parses it; throws a StatusError for a body that can't be. */
  readonly body: () => Promise<unknown>;
}
