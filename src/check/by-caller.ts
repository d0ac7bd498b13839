import type { Allowed } from './outcome.ts';
import { createRecent } from './recent.ts';

/** Some 300 bytes each. */
const maxCallers = 20_000;

/** What is the same in every answer to a subject in a tier about a model: made once, and remembered for the last of them. */
export function createByCaller<Value>(make: (outcome: Allowed) => Value): (outcome: Allowed) => Value {
  const recent = createRecent<Value>(maxCallers);
  return (outcome) => {
    const { subject = '', tier = '', model } = outcome;
    const key = `${model?.id ?? ''} ${tier} ${subject}`;
    let value = recent.get(key);
    if (value === undefined) {
      value = make(outcome);
      recent.set(key, value);
    }
    return value;
  };
}
