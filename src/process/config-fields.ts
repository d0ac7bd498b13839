import { isIP } from 'node:net';
import { z } from 'zod';
import { parseDuration } from '../duration.ts';
import { parseListenAddress } from './listen-address.ts';

/**
 * The kinds of value that the process file holds. Every message is said to an operator, after the key: "must
 * be …". None repeats a value that could be a secret in the wrong place.
 */

/** Text with a unit in the file, milliseconds from here on. `bounds` is what an operator reads when it is outside them. */
export function duration(minMs: number, maxMs: number, bounds: string) {
  return z
    .string({ error: 'must be text with a unit, for example 30s (a bare number has none)' })
    .transform((written, context) => {
      const durationMs = attempt(context, () => parseDuration(written));
      if (durationMs === undefined) return z.NEVER;
      if (durationMs >= minMs && durationMs <= maxMs) return durationMs;
      context.addIssue({ code: 'custom', message: `${written} is out of bounds: ${bounds}` });
      return z.NEVER;
    });
}

export function wholeNumber(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function flag() {
  return z.boolean({ error: 'must be true or false' });
}

export function oneOf<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return z.enum(words, { error: `must be one of ${words.join(', ')}` });
}

export function text(what: string, pattern = /\S/) {
  return z.string({ error: `must be ${what}` }).regex(pattern, { error: `must be ${what}` });
}

/** An array without repetitions. */
export function listOf<Entry extends z.ZodType>(entry: Entry, least = 0) {
  return z
    .array(entry, { error: 'must be a list' })
    .min(least, { error: `must hold at least ${least}` })
    .superRefine((entries, context) => {
      for (const [at, value] of entries.entries()) {
        const first = entries.findIndex((other) => JSON.stringify(other) === JSON.stringify(value));
        if (first < at) context.addIssue({ code: 'custom', path: [at], message: 'stands twice in the list' });
      }
    });
}

/** `host:port` or `unix:PATH`. */
export const listenAddress = z
  .string({ error: 'must be host:port or unix:PATH' })
  .transform((written, context) => attempt(context, () => parseListenAddress(written)) ?? z.NEVER);

/** `host:port` only: what is scraped and probed from outside the pod. */
export const tcpAddress = z.string({ error: 'must be host:port' }).transform((written, context) => {
  const address = attempt(context, () => parseListenAddress(written));
  if (address === undefined) return z.NEVER;
  if (address.kind === 'tcp') return address;
  context.addIssue({ code: 'custom', message: 'must be host:port; a socket path does not do here' });
  return z.NEVER;
});

/** Who may connect to a Unix socket: its permissions and, where they are not the process's own, user and group. */
export const socketAccess = z
  .strictObject({
    // A bare 0660 would be six hundred and sixty (YAML 1.2 has octal numbers as 0o660).
    mode: text('four octal digits in quotes, for example "0660"', /^0[0-7]{3}$/)
      .transform((digits) => Number.parseInt(digits, 8))
      .prefault('0660'),
    owner: text('numbers of a user and a group, for example "1000:1337"', /^\d{1,9}:\d{1,9}$/)
      .transform((written) => {
        const [uid = 0, gid = 0] = written.split(':').map(Number);
        return { uid, gid };
      })
      .optional(),
  })
  .optional();

/** Path of a file; relative ones are meant from the folder of the process file, as `parseConfig` resolves them. */
export const filePath = text('the path of a file');

/** Network in CIDR notation (RFC 4632, RFC 4291 section 2.3), or a single address. */
export const network = z
  .string({ error: 'must be a network such as 10.0.0.0/8' })
  .refine(isNetwork, { error: 'must be a network such as 10.0.0.0/8 or fd00::/8' });

/** RFC 1123 label: a namespace, an instance, a tier. */
export const label = text(
  'lower-case letters, digits and inner dashes, at most 63 (a DNS-1123 label)',
  /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
);

/** RFC 1123 subdomain: most other names of Kubernetes objects. */
export const objectName = text(
  'the name of a Kubernetes object (a DNS-1123 subdomain)',
  /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
);

/** RFC 9110 section 5.1; lower-case from here on, as HTTP/2 carries it. */
export const headerName = text('the name of a header', /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/).transform((name) =>
  name.toLowerCase(),
);

/** Of a `Host` header, without the port: a DNS name or an IPv4 address; lower-case from here on, as DNS compares. */
export const hostName = text(
  'a host name without a port',
  /^[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?$/,
).transform((name) => name.toLowerCase());

/** A path that covers itself and what lies below it by whole segments; only what cannot be read in two ways. */
export const pathPrefix = text(
  'a path such as /v1/models: no trailing slash, no query, no percent, no . or .. segment',
  /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+)+$/,
);

function isNetwork(written: string): boolean {
  const [address = '', length, ...rest] = written.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (version === 4 ? 32 : 128));
}

/** The RangeError of a parser becomes an issue; anything else is a bug. */
function attempt<T>(context: z.core.$RefinementCtx, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
    return undefined;
  }
}
