import type { Allowed } from './outcome.ts';
import { createRecent } from './recent.ts';

/** Tiers and models are few; where somebody may ask for any name, not every name is kept. */
const maxKept = 10_000;

/**
 * What is the same in every answer to anybody in a tier about a model: made once. Not by caller: a million of them would
 * each be made anew, and thrown away old, which costs the garbage collector more than writing their names.
 */
export function createByTier<Value>(make: (outcome: Allowed) => Value): (outcome: Allowed) => Value {
  const recent = createRecent<Value>(maxKept);
  return (outcome) => {
    const { tier = '', model } = outcome;
    const key = `${model?.id ?? ''} ${tier}`;
    let value = recent.get(key);
    if (value === undefined) {
      value = make(outcome);
      recent.set(key, value);
    }
    return value;
  };
}
