import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback } from '../process/listen-address.ts';
import { type Refusal, refusal } from './refusal.ts';

/** Whether a request names this server; undefined: it does. */
export type CheckHost = (headers: IncomingHttpHeaders) => Refusal | undefined;

/**
 * Answers to loopback's own names and those of the process file, on any port (`kubectl port-forward` chooses its
 * own), and to nothing else: a page of another host that had its name point here (DNS rebinding) sends that name.
 */
export function createCheckHost(hosts: readonly string[]): CheckHost {
  return ({ host }) => {
    const name = hostOf(host);
    if (name !== undefined && (isLoopback(name) || hosts.includes(name))) return undefined;
    const words = 'This server does not answer for that name; listeners.console.hosts lists further ones.';
    return refusal('host_refused', words);
  };
}

/**
 * Refuses what a browser says was made by a page of another origin: `Sec-Fetch-Site` (Fetch Metadata), and `Origin`
 * (RFC 6454) that is not the host asked. A program sends neither.
 */
export function checkOrigin(headers: IncomingHttpHeaders): Refusal | undefined {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  const isOwnSite = site === undefined || site === 'same-origin' || site === 'none';
  const isOwnOrigin = origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
  return isOwnSite && isOwnOrigin
    ? undefined
    : refusal('origin_refused', 'A page of another origin may not ask this.');
}

/** `Host` without its port (RFC 9110 section 7.2), lower-case; undefined where it can not be read. */
function hostOf(host: string | undefined): string | undefined {
  const [, v6, name] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?$/.exec(host ?? '') ?? [];
  return (v6 ?? name)?.toLowerCase();
}
