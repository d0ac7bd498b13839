/** Applies `visit` to every entry, at most `limit` at a time; results in the order of the entries. Throws what a visit throws. */
export async function concurrently<T, R>(
  entries: readonly T[],
  limit: number,
  visit: (entry: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const queue = entries.entries();
  const work = async (): Promise<void> => {
    // The iterator is shared: whoever is free takes the next.
    for (const [index, entry] of queue) results[index] = await visit(entry);
  };
  await Promise.all(Array.from({ length: Math.min(limit, entries.length) }, work));
  return results;
}
