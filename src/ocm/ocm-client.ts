import { z } from 'zod';
import { DependencyError } from '../dependency-error.ts';
import { faultFromStatus, type FetchJson, type JsonCall } from '../fetch-json.ts';
import { createSecret, type Secret } from '../secret.ts';

export const ocmDependency = 'ocm';

export interface OcmClientOptions {
  /** Of the API, without a slash at its end. */
  readonly url: string;
  /** Where client credentials are exchanged for an access token (RFC 6749 section 4.4). */
  readonly tokenUrl: string;
  readonly clientId: () => Promise<Secret>;
  readonly clientSecret: () => Promise<Secret>;
  /** With `ocm` as its dependency. */
  readonly fetchJson: FetchJson;
  readonly now: () => number;
}

export interface OcmList<T> {
  readonly name: string;
  /** Of the collection, from the root. */
  readonly path: string;
  /** In the API's search language; whatever comes from outside quoted by {@link quoted}. */
  readonly search: string;
  readonly entry: z.ZodType<T>;
}

/**
 * Every entry that the search finds. Throws DependencyError if it could not get them all: a list that is cut
 * short would read as deletions.
 */
export type OcmClient = <T>(list: OcmList<T>, signal: AbortSignal) => Promise<readonly T[]>;

const pageSize = 100;
const page = z.object({ total: z.number(), items: z.array(z.unknown()) });
const tokenAnswer = z.object({ access_token: z.string(), expires_in: z.number() });

/** An access token this close to its end is not used any more. */
const leewayMs = 30_000;

export function createOcmClient(options: OcmClientOptions): OcmClient {
  const { fetchJson, now } = options;
  let login: { readonly token: Secret; readonly endsAtMs: number } | undefined;

  const logIn = async (signal: AbortSignal): Promise<Secret> => {
    const [id, secret] = [await options.clientId(), await options.clientSecret()];
    const pair = `${encodeURIComponent(id.reveal())}:${encodeURIComponent(secret.reveal())}`;
    const call: JsonCall = {
      name: 'login',
      method: 'POST',
      url: options.tokenUrl,
      headers: { authorization: createSecret(`Basic ${Buffer.from(pair).toString('base64')}`) },
      contentType: 'application/x-www-form-urlencoded',
      body: createSecret('grant_type=client_credentials'),
    };
    const { status, body } = await fetchJson(call, signal);
    const parsed = tokenAnswer.safeParse(body);
    if (status !== 200 || !parsed.success) throw faultFromStatus(ocmDependency, call, status);
    const token = createSecret(parsed.data.access_token);
    login = { token, endsAtMs: now() + parsed.data.expires_in * 1000 - leewayMs };
    return token;
  };

  return async ({ name, path, search, entry }, signal) => {
    const entries = [];
    for (let number = 1; ; number += 1) {
      const query = new URLSearchParams({
        search,
        page: String(number),
        size: String(pageSize),
        order: 'id',
      });
      const bearer = login !== undefined && login.endsAtMs > now() ? login.token : await logIn(signal);
      const call: JsonCall = {
        name,
        method: 'GET',
        url: `${options.url}${path}?${query.toString()}`,
        bearer,
      };
      const { status, body } = await fetchJson(call, signal);
      if (status !== 200) throw faultFromStatus(ocmDependency, call, status);
      const { total, items } = readAs(name, page, body);
      entries.push(...items.map((item) => readAs(name, entry, item)));
      if (entries.length >= total) return entries;
      if (items.length === 0) throw cutShort(name, entries.length, total);
    }
  };
}

function readAs<T>(name: string, schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const at = result.error.issues[0]?.path.join('.') ?? '';
  throw new DependencyError(ocmDependency, 'malformed', { detail: `${name}: unexpected value at "${at}"` });
}

function cutShort(name: string, got: number, total: number): DependencyError {
  return new DependencyError(ocmDependency, 'malformed', {
    detail: `${name}: only ${got} of ${total} entries`,
  });
}

/** A text in the search language; its quote is written twice. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
