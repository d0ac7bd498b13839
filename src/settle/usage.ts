/** Tokens that a request used, as its model told. Whole numbers; what is absent was not told. */
export interface Usage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly totalTokens?: number;
}
