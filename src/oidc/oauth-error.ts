import { z } from 'zod';

/** Error answers of OAuth endpoints (RFC 6749 section 5.2, RFC 7591 section 3.2.2). */
const oauthError = z.object({ error: z.string(), error_description: z.string().default('') });

export interface OauthError {
  readonly error: string;
  readonly description: string;
}

/** Longer texts are no messages for people any more. */
const maxDescriptionLength = 300;

/** What the answer says of itself; empty words where it says nothing. Made fit for a log line. */
export function readOauthError(body: unknown): OauthError {
  const parsed = oauthError.safeParse(body);
  if (!parsed.success) return { error: '', description: '' };
  const { error, error_description } = parsed.data;
  return { error: printable(error), description: printable(error_description) };
}

function printable(text: string): string {
  return text.replaceAll(/[^\P{C} ]/gu, ' ').slice(0, maxDescriptionLength);
}
