import type { Explanation } from '../check/explanation.ts';
import { createFetchJson, type JsonAnswer } from '../fetch-json.ts';
import { createSecret, type Secret } from '../secret.ts';
import { exitCode } from './program.ts';

/** What no explanation came of: its exit code and its words. */
export interface NotExplained {
  readonly code: number;
  readonly words: string;
}

export interface RemoteQuestion {
  /** Of the console listener. */
  readonly url: URL;
  /** As the console takes it. */
  readonly question: Readonly<Record<string, unknown>>;
  /** In question; apart, so that it never becomes a text by accident. */
  readonly token: Secret | undefined;
  /** The operator's own. */
  readonly bearer: Secret;
}

const timeoutMs = 20_000;

/** Throws DependencyError. */
export async function explainRemotely({
  url,
  question,
  token,
  bearer,
}: RemoteQuestion): Promise<Explanation | NotExplained> {
  const body = { ...question, ...(token !== undefined && { token: token.reveal() }) };
  const fetchJson = createFetchJson({ dependency: 'authorizer', timeoutMs });
  const answer = await fetchJson(
    {
      name: 'explain',
      method: 'POST',
      url: new URL('api/explain', `${url.href.replace(/\/*$/, '')}/`).href,
      bearer,
      body: createSecret(JSON.stringify(body)),
    },
    AbortSignal.timeout(timeoutMs),
  );
  if (answer.status === 200 && isExplanation(answer.body)) return answer.body;
  return notExplained(answer, url);
}

export function isNotExplained(made: Explanation | NotExplained): made is NotExplained {
  return 'code' in made;
}

function isExplanation(body: unknown): body is Explanation {
  return isFields(body) && 'verdict' in body && 'stages' in body;
}

const codeByStatus: Readonly<Record<number, number>> = {
  400: exitCode.usage,
  401: exitCode.noPermission,
  403: exitCode.noPermission,
  413: exitCode.usage,
};

function notExplained({ status, body }: JsonAnswer, { origin }: URL): NotExplained {
  const error = isFields(body) ? body['error'] : undefined;
  // The doors' refusals have OpenAI's type beside the reason; the console's have none.
  const isConsole = isFields(error) && 'reason' in error && !('type' in error) && status !== 404;
  if (!isConsole) {
    const words = `${origin} is not the console of an authorizer (HTTP ${status}): --authorizer takes its listeners.console`;
    return { code: exitCode.unavailable, words };
  }
  const code = codeByStatus[status] ?? exitCode.unavailable;
  return { code, words: `the authorizer does not explain (HTTP ${status}): ${String(error['message'])}` };
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
