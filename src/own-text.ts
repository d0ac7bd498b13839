/**
 * The same text by itself, for whatever remembers it: what was cut out of a longer one keeps all of that in memory (V8), a query
 * of 60 kB or a head with its token. The copy of both together is what the result is cut out of then.
 */
export function ownText(text: string): string {
  return ` ${text}`.slice(1);
}
