import { inspect } from 'node:util';

/**
 * A text that cannot be printed by accident: JSON, template literals, string concatenation and
 * `util.inspect` all show `[secret]`. Whoever needs the text says so by calling `reveal()`.
 */
export interface Secret {
  readonly reveal: () => string;
}

const hidden = '[secret]';

/** A class for its private field, which neither a spread nor a logger nor `util.inspect` with all its options can read. */
class ConcealedText implements Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return hidden;
  }

  toJSON(): string {
    return hidden;
  }

  [Symbol.toPrimitive](): string {
    return hidden;
  }

  [inspect.custom](): string {
    return hidden;
  }
}

export function createSecret(text: string): Secret {
  return new ConcealedText(text);
}
