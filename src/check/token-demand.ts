import type { CheckInput } from './check-input.ts';

/** What a request asks of a model, in tokens, as far as that is known before the model was asked. */
export interface TokenDemand {
  /** Estimated; undefined where nothing tells how long the prompt is (a chunked body): the tier's default counts. */
  readonly promptTokens: number | undefined;
  /** The most that one answer may have; undefined where the request does not say: the tier's default counts. */
  readonly maxTokens: number | undefined;
  /** Answers that are asked for, each as long as that; at least 1. */
  readonly answers: number;
  readonly isStream: boolean;
  /** Whether the stream's end will tell what was used; undefined: not known. */
  readonly includesUsage: boolean | undefined;
}

/** Port: asked only where tokens are limited. Throws nothing, whatever a client sent. */
export type ReadTokenDemand = (input: CheckInput) => TokenDemand;
