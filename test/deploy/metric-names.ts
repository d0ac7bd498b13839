/** Names of metrics of ours that an expression of PromQL asks for; of a histogram its own name, without `_bucket` and the like. */
export function metricsIn(expression: string): readonly string[] {
  const names = expression.match(/\b(?:tiergate|rhidp|qontract)_\w+/g) ?? [];
  return names.map((name) => name.replace(/(?<=_seconds)_(?:bucket|sum|count)$/, ''));
}
