import { completionBody, completionChunks, type InferenceRequest, type Stamp } from './sample-completion.ts';
import { messageBody, messageEvents } from './sample-messages.ts';
import { responseBody, responseEvents } from './sample-responses.ts';

/** A server-sent event; text as it is, all else as JSON. */
export interface SampleEvent {
  readonly name?: string;
  readonly data: unknown;
}

/** The answer in one piece, in the shape of the API that was asked. */
export function answerBody(request: InferenceRequest, stamp: Stamp): unknown {
  if (request.endpoint === 'responses') return responseBody(request, stamp);
  if (request.endpoint === 'messages') return messageBody(request, stamp);
  return completionBody(request, stamp);
}

/** The answer in pieces. Of those APIs only the older ones end with a word that they have ended. */
export function answerEvents(request: InferenceRequest, stamp: Stamp): readonly SampleEvent[] {
  if (request.endpoint === 'responses') return responseEvents(request, stamp);
  if (request.endpoint === 'messages') return messageEvents(request, stamp);
  return [...completionChunks(request, stamp), '[DONE]'].map((data) => ({ data }));
}
