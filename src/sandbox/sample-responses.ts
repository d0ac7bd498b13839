import type { SampleEvent } from './sample-answer.ts';
import type { InferenceRequest, Stamp } from './sample-completion.ts';

/** The answer in the shape of OpenAI's Responses API, in one piece; `output` as far as it has come. */
export function responseBody(request: InferenceRequest, stamp: Stamp, isDone = true): unknown {
  const { model, pieces, finishReason, behaviour } = request;
  const text = { type: 'output_text', text: pieces.join(''), annotations: [] };
  const status = isDone ? (finishReason === 'length' ? 'incomplete' : 'completed') : 'in_progress';
  return {
    id: stamp.id,
    object: 'response',
    created_at: Math.floor(stamp.createdAtMs / 1000),
    model,
    status,
    output: isDone
      ? [{ type: 'message', id: `${stamp.id}-0`, role: 'assistant', status, content: [text] }]
      : [],
    usage: isDone && behaviour !== 'no-usage' ? usageOf(request) : null,
  };
}

/** Usage is in the last event, always. */
export function responseEvents(request: InferenceRequest, stamp: Stamp): readonly SampleEvent[] {
  const event = (type: string, fields: object): SampleEvent => ({ name: type, data: { type, ...fields } });
  const end = request.finishReason === 'length' ? 'response.incomplete' : 'response.completed';
  return [
    event('response.created', { response: responseBody(request, stamp, false) }),
    ...request.pieces.map((delta) =>
      event('response.output_text.delta', {
        item_id: `${stamp.id}-0`,
        output_index: 0,
        content_index: 0,
        delta,
      }),
    ),
    event(end, { response: responseBody(request, stamp) }),
  ];
}

function usageOf({ promptTokens, pieces }: InferenceRequest): object {
  return {
    input_tokens: promptTokens,
    output_tokens: pieces.length,
    total_tokens: promptTokens + pieces.length,
  };
}
