import type { SampleEvent } from './sample-answer.ts';
import type { InferenceRequest, Stamp } from './sample-completion.ts';

/** The answer in the shape of Anthropic's Messages API, in one piece. */
export function messageBody(request: InferenceRequest, stamp: Stamp): unknown {
  const { pieces, behaviour } = request;
  return {
    ...beginning(request, stamp),
    content: [{ type: 'text', text: pieces.join('') }],
    stop_reason: stopReason(request),
    ...(behaviour !== 'no-usage' && {
      usage: { input_tokens: request.promptTokens, output_tokens: pieces.length },
    }),
  };
}

/** What went in is told in the first event, what came out in the last but one. */
export function messageEvents(request: InferenceRequest, stamp: Stamp): readonly SampleEvent[] {
  const { pieces, promptTokens, behaviour } = request;
  const tellsUsage = behaviour !== 'no-usage';
  const event = (type: string, fields: object): SampleEvent => ({ name: type, data: { type, ...fields } });
  const started = {
    ...beginning(request, stamp),
    content: [],
    stop_reason: null,
    ...(tellsUsage && { usage: { input_tokens: promptTokens, output_tokens: 1 } }),
  };
  return [
    event('message_start', { message: started }),
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
    ...pieces.map((text) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } })),
    event('content_block_stop', { index: 0 }),
    event('message_delta', {
      delta: { stop_reason: stopReason(request), stop_sequence: null },
      ...(tellsUsage && { usage: { output_tokens: pieces.length } }),
    }),
    event('message_stop', {}),
  ];
}

function beginning({ model }: InferenceRequest, { id }: Stamp): object {
  return { id, type: 'message', role: 'assistant', model, stop_sequence: null };
}

function stopReason({ finishReason }: InferenceRequest): string {
  return finishReason === 'length' ? 'max_tokens' : 'end_turn';
}
