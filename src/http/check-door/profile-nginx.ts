import type { CheckDoorProfile } from './profile.ts';

/**
 * NGINX's `auth_request`: a subrequest whose headers are configured one by one (deploy/nginx). It knows 2xx, 401 and
 * 403; it takes any other status for a fault (500), and reads no body. So every other denial is a 403, and what it
 * really is travels in headers, out of which a named location makes the answer.
 */
export const nginxProfile: CheckDoorProfile = {
  original: { method: 'x-original-method', path: 'x-original-uri' },
  source: 'x-real-ip',
  size: 'tiergate-size',
  removesHeaders: false,
  tellsEnds: false,
  statusOf: (status) => (status === 401 ? 401 : 403),
  deniesInHeaders: true,
};
