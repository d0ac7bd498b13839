import { createHash, createSecretKey } from 'node:crypto';
import { createReservationNames, type ReservationNames } from '../check/reservation.ts';
import type { Secret } from '../secret.ts';

/** As long as the hash tag of every key; the scripts count on it. */
const tagLength = 22;

const leastKeyBytes = 16;

/**
 * Names of the counters' keys. All of one subject share a hash tag, so that a script may touch them at once. Throws
 * TypeError for a key too short to keep a subject from being guessed.
 */
export function createKeyspace(keySecret: Secret): ReservationNames {
  const keyBytes = Buffer.from(keySecret.reveal());
  if (keyBytes.length < leastKeyBytes) {
    throw new TypeError(`the key of the counters must have at least ${leastKeyBytes} bytes`);
  }
  const key = createSecretKey(keyBytes);
  return createReservationNames(key);
}

/** `name` is a counter's: scope, unit, length. */
export function windowKey(tag: string, name: string): string {
  return `tg:{${tag}}:w:${name}`;
}

/** Of a key made here. */
export function tagOfKey(key: string): string {
  return key.slice(4, 4 + tagLength);
}

/** Of a subject's temporary boost. */
export function boostKey(tag: string): string {
  return `tg:{${tag}}:b`;
}

const plainId = /^[\w-]{1,64}$/;

/** Any id makes a key of a bounded length and without special characters; no two ids make the same key. */
export function recordKey(tag: string, id: string): string {
  if (plainId.test(id)) return `tg:{${tag}}:r:${id}`;
  return `tg:{${tag}}:r:~${createHash('sha256').update(id).digest('base64url')}`;
}

/** Of a subject's open requests. */
export function slotsKey(tag: string): string {
  return `tg:{${tag}}:s`;
}
