import { parseArgs } from 'node:util';
import type { Explanation } from '../check/explanation.ts';
import { readExplainQuestion } from '../check/explain-question.ts';
import { isDependencyError } from '../dependency-error.ts';
import { createFetchJson } from '../fetch-json.ts';
import { loadConfig, parseConfig } from '../process/config.ts';
import { createSecret, type Secret } from '../secret.ts';
import { clusterTokenOptions, readClusterToken, readUrl } from './cluster-token.ts';
import { createOfflineExplain } from './explain-offline.ts';
import { explanationLines } from './explain-text.ts';
import { readPolicyDocument } from './policy-document.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf } from './run-server.ts';

const usage = `usage: tiergate explain [METHOD] PATH --authorizer URL (--token-stdin | --user NAME [--group NAME]...)
       tiergate explain [METHOD] PATH (--policy FILE | --config FILE) --user NAME [--group NAME]...

Whether a request would pass, and why: every stage of the check, what it said, who said so, and what would change it.
Nothing is charged, and no later request is answered otherwise for it. METHOD is POST if it is not given.

  --authorizer URL      a running authorizer, by its console listener: http://127.0.0.1:9093
  --token-stdin         the access token in question, from standard input
  --user NAME           somebody by name: a person as the bearer of the access token that the issuer gives them,
                        system:serviceaccount:NAMESPACE:NAME as itself
  --group NAME          a group of theirs; may be given several times
  --header NAME=VALUE   a header of the request, where the model comes from one; may be given several times
  --context KEY=VALUE   one of Envoy's context_extensions; may be given several times
  --policy FILE         by a policy document alone; what needs a cluster is said to be unknown
  --config FILE         the same, by a process file and the policy document that it names
  --json                the explanation as JSON
  --token-file FILE     your own token of the cluster. Default: that of your kubeconfig
  --kubeconfig FILE     another kubeconfig than kubectl's
  --context-name NAME   another context than its current one

You need the right to get consoles (tiergate.dev) in the namespace of the authorizer.
Exit code: 0 it passes, 1 it is denied, 2 that can not be told without a cluster; 64 wrong arguments, 69 nobody answers.`;

const options = {
  authorizer: { type: 'string' },
  'token-stdin': { type: 'boolean' },
  user: { type: 'string' },
  group: { type: 'string', multiple: true },
  header: { type: 'string', multiple: true },
  context: { type: 'string', multiple: true },
  'context-name': { type: 'string' },
  policy: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  'token-file': clusterTokenOptions['token-file'],
  kubeconfig: clusterTokenOptions.kubeconfig,
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseArgs<{ readonly options: typeof options }>>['values'];

const timeoutMs = 20_000;

/** `tiergate explain`: what Check would say of a request, stage by stage. */
export const explain: Program = async (args, io) => {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    const asked = await readAsked(positionals, values, io);
    if (typeof asked === 'string') {
      io.err(asked);
      return exitCode.usage;
    }
    const explanation =
      values.authorizer === undefined
        ? await explainOffline(asked, values)
        : await explainRemotely(asked, values, io);
    if (typeof explanation === 'string') {
      io.err(explanation);
      return exitCode.failed;
    }
    if (values.json === true) io.out(JSON.stringify(explanation, null, 2));
    else for (const line of explanationLines(explanation)) io.out(line);
    return { allowed: exitCode.done, denied: exitCode.failed, unknown: exitCode.unknown }[
      explanation.verdict
    ];
  } catch (error) {
    if (!isDependencyError(error)) return exitCodeOf(error, io);
    io.err(error.message);
    return exitCode.unavailable;
  }
};

/** The question as the console takes it; its token apart, which never becomes a text by accident. */
interface Asked {
  readonly question: Readonly<Record<string, unknown>>;
  readonly token: Secret | undefined;
}

async function readAsked(
  positionals: readonly string[],
  values: Values,
  io: ProgramIo,
): Promise<Asked | string> {
  const [first, second, ...rest] = positionals;
  const [method, path] = second === undefined ? ['POST', first] : [first, second];
  if (path === undefined || rest.length > 0) return usage;
  const places = [values.authorizer, values.policy ?? values.config].filter((place) => place !== undefined);
  if (places.length !== 1) return 'give either --authorizer, or --policy (or --config)';
  const isToken = values['token-stdin'] === true;
  if (isToken && values.authorizer === undefined) {
    return 'a token can only be looked at by a running authorizer: give --authorizer, or --user and --group';
  }
  if (isToken && values['token-file'] === '-') return 'standard input holds one token: name a file for yours';
  const headers = pairsOf(values.header);
  const context = pairsOf(values.context);
  if (headers === undefined || context === undefined) return '--header and --context take NAME=VALUE';
  const text = isToken ? (await io.readInput()).trim() : undefined;
  if (text === '') return 'standard input holds no token';
  const question = {
    method,
    path,
    ...(values.user !== undefined && { user: values.user }),
    ...(values.group !== undefined && { groups: values.group }),
    headers,
    context,
  };
  const read = readExplainQuestion({ ...question, ...(text !== undefined && { token: text }) });
  if (typeof read === 'string') return read;
  return { question, token: text === undefined ? undefined : createSecret(text) };
}

function pairsOf(texts: readonly string[] = []): Readonly<Record<string, string>> | undefined {
  const pairs = texts.map((text) => /^([^=]+)=(.*)$/s.exec(text));
  if (pairs.includes(null)) return undefined;
  return Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? '', pair?.[2] ?? '']));
}

/** Throws ConfigMistakes. */
async function explainOffline({ question }: Asked, values: Values): Promise<Explanation | string> {
  const config =
    values.config === undefined
      ? parseConfig('limits: {store: memory}', { file: 'defaults', folder: '.' })
      : loadConfig(values.config);
  const { source } = config.policy;
  const path = values.policy ?? (source.kind === 'file' ? source.path : undefined);
  if (path === undefined) return 'the process file names a ConfigMap: give the policy document by --policy';
  const read = readExplainQuestion(question);
  if (typeof read === 'string') return read;
  return createOfflineExplain(config, readPolicyDocument(path, config))(read);
}

/** Throws DependencyError. */
async function explainRemotely(
  { question, token }: Asked,
  values: Values,
  io: ProgramIo,
): Promise<Explanation | string> {
  const url = readUrl(values.authorizer);
  if (url === undefined)
    return '--authorizer must be an https URL, or one of this machine: http://127.0.0.1:9093';
  const own = await readClusterToken(
    {
      ...(values['token-file'] !== undefined && { 'token-file': values['token-file'] }),
      ...(values.kubeconfig !== undefined && { kubeconfig: values.kubeconfig }),
      ...(values['context-name'] !== undefined && { context: values['context-name'] }),
    },
    io,
  );
  if (typeof own === 'string') return own;
  const body = { ...question, ...(token !== undefined && { token: token.reveal() }) };
  const fetchJson = createFetchJson({ dependency: 'authorizer', timeoutMs });
  const answer = await fetchJson(
    {
      name: 'explain',
      method: 'POST',
      url: new URL('api/explain', `${url.href.replace(/\/*$/, '')}/`).href,
      bearer: own,
      body: createSecret(JSON.stringify(body)),
    },
    AbortSignal.timeout(timeoutMs),
  );
  if (answer.status === 200 && isExplanation(answer.body)) return answer.body;
  return `the authorizer does not explain (HTTP ${answer.status})${refusalWords(answer.body)}`;
}

function isExplanation(body: unknown): body is Explanation {
  return typeof body === 'object' && body !== null && 'verdict' in body && 'stages' in body;
}

function refusalWords(body: unknown): string {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : error;
  return typeof message === 'string' ? `: ${message}` : '';
}
