import type { CheckDoorProfile } from './profile.ts';

/** Caddy's `forward_auth`: GET with `X-Forwarded-*`, which it writes over; an answer that is no 2xx goes to the client whole. */
export const caddyProfile: CheckDoorProfile = {
  original: { method: 'x-forwarded-method', path: 'x-forwarded-uri' },
  source: 'x-forwarded-for',
  size: 'tiergate-size',
  removesHeaders: false,
  tellsEnds: false,
  deniesInHeaders: false,
};
