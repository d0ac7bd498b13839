import type { CheckDoorProfile } from './profile.ts';

/**
 * Traefik's `forwardAuth`, with `trustForwardHeader: false`: GET with `X-Forwarded-*`, which it writes over; an answer
 * that is no 2xx goes to the client whole. It has no way to give headers of an allowed answer to the client.
 */
export const traefikProfile: CheckDoorProfile = {
  original: { method: 'x-forwarded-method', path: 'x-forwarded-uri' },
  source: 'x-forwarded-for',
  removesHeaders: false,
  tellsEnds: false,
  deniesInHeaders: false,
};
