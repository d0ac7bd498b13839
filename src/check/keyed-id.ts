import { type BinaryLike, createHmac, type KeyObject, randomBytes } from 'node:crypto';

/**
 * An id that leads to its counters wherever it comes back: `<T>.<22 characters of base64url>`. T is the keyed hash of the
 * subject, which finds the server; the name is one that nobody can guess.
 */
export interface KeyedId {
  readonly tag: string;
  readonly name: string;
}

const keyedId = /^(?<tag>[\w-]{22})\.(?<name>[\w-]{22})$/;

/** undefined for what can be none of ours. */
export function parseKeyedId(text: string): KeyedId | undefined {
  const { tag, name } = keyedId.exec(text)?.groups ?? {};
  return tag === undefined || name === undefined ? undefined : { tag, name };
}

export function formatKeyedId({ tag, name }: KeyedId): string {
  return `${tag}.${name}`;
}

/** Text → 132 bits that only a holder of the key can make, as either half of an id. */
export function createKeyedHash(key: BinaryLike | KeyObject): (text: string) => string {
  return (text) => createHmac('sha256', key).update(text).digest('base64url').slice(0, 22);
}

/** 128 random bits. */
export function randomName(): string {
  return randomBytes(16).toString('base64url');
}
