/** On whose behalf a stage asks somebody, and until when the answer is waited for. */
export interface Asking {
  /** The address that the request came from: budgets are shared out fairly between them. */
  readonly source: string;
  /** Epoch milliseconds. */
  readonly deadlineAtMs: number;
}
