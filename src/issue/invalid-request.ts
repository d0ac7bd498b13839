import { type Denied, denied } from '../check/outcome.ts';

/** A refusal that names the field it is about, as `error.param` does for the client. */
export interface InvalidRequest extends Denied {
  readonly reason: 'request_invalid';
  /** Path of the field: `expiration`, `groups.0`. */
  readonly param: string;
}

export function invalidRequest(param: string, detail: string): InvalidRequest {
  return { ...denied('request_invalid', detail), reason: 'request_invalid', param };
}
