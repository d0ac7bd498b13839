import { inspect } from 'node:util';

/**
 * A text that cannot be printed by accident: JSON, template literals, string concatenation and
 * `util.inspect` all show `[secret]`. Whoever needs the text says so by calling `reveal()`.
 */
export interface Secret {
  readonly reveal: () => string;
}

const hidden = '[secret]';
const hide = () => hidden;

/** Shared by every secret, so that making one costs an object and a closure, nothing more. */
const concealed = Object.freeze(
  Object.defineProperties(
    {},
    {
      toString: { value: hide },
      toJSON: { value: hide },
      [Symbol.toPrimitive]: { value: hide },
      [inspect.custom]: { value: hide },
    },
  ),
);

export function createSecret(text: string): Secret {
  const secret = Object.create(concealed) as { reveal: () => string };
  // Not enumerable: a spread, Object.entries or a structured logger finds nothing to copy.
  Object.defineProperty(secret, 'reveal', { value: () => text });
  return secret;
}
