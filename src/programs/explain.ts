import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Explanation } from '../check/explanation.ts';
import { readExplainQuestion } from '../check/explain-question.ts';
import { isDependencyError } from '../dependency-error.ts';
import { loadConfig, parseConfig } from '../process/config.ts';
import { createSecret, type Secret } from '../secret.ts';
import { demandMetadata } from '../settle/demand.ts';
import { clusterTokenOptions, readClusterToken, readUrl } from './cluster-token.ts';
import { createOfflineExplain } from './explain-offline.ts';
import { explainRemotely, isNotExplained, type NotExplained } from './explain-remotely.ts';
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
  --max-tokens N        the request asks for so many tokens at most, where tokens are limited
  --body FILE           its body, - is standard input: max_tokens, n, stream and its length are read as Check reads them.
                        Without either the body is empty: no prompt, and reserve.maxTokens of the tier for the answer
  --policy FILE         by a policy document alone; what needs a cluster is said to be unknown
  --config FILE         the same, by a process file and the policy document that it names
  --json                the explanation as JSON
  --token-file FILE     your own token of the cluster. Default: that of your kubeconfig
  --kubeconfig FILE     another kubeconfig than kubectl's
  --context-name NAME   another context than its current one

You need the right to get consoles (tiergate.dev) in the namespace of the authorizer.
Exit code: 0 it passes, 1 it is denied, 2 that can not be told without a cluster; 64 wrong arguments, 69 nobody who can tell
answers there, 77 you may not ask, 78 a file is wrong, or there is no token of yours.`;

const options = {
  authorizer: { type: 'string' },
  'token-stdin': { type: 'boolean' },
  user: { type: 'string' },
  group: { type: 'string', multiple: true },
  header: { type: 'string', multiple: true },
  context: { type: 'string', multiple: true },
  'context-name': { type: 'string' },
  'max-tokens': { type: 'string' },
  body: { type: 'string' },
  policy: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  'token-file': clusterTokenOptions['token-file'],
  kubeconfig: clusterTokenOptions.kubeconfig,
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseArgs<{ readonly options: typeof options }>>['values'];

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
        : await askRemotely(asked, values, io);
    if (isNotExplained(explanation)) {
      io.err(explanation.words);
      return explanation.code;
    }
    if (values.json === true) io.out(JSON.stringify(explanation, null, 2));
    else for (const line of explanationLines(explanation)) io.out(line);
    return { allowed: exitCode.done, denied: exitCode.failed, unknown: exitCode.unknown }[
      explanation.verdict
    ];
  } catch (error) {
    if (!isDependencyError(error)) return exitCodeOf(error, io);
    // A listener that speaks no HTTP/1.1, such as that of Envoy's gRPC.
    const isStranger = error.code === 'malformed';
    io.err(isStranger ? `${error.message}: not the console of an authorizer` : error.message);
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
  const body = await bodyOf(values, io);
  if (typeof body === 'string') return body;
  const text = isToken ? (await io.readInput()).trim() : undefined;
  if (text === '') return 'standard input holds no token';
  const question = {
    method,
    path,
    ...(values.user !== undefined && { user: values.user }),
    ...(values.group !== undefined && { groups: values.group }),
    headers,
    context,
    ...body,
  };
  const read = readExplainQuestion({ ...question, ...(text !== undefined && { token: text }) });
  if (typeof read === 'string') return read;
  return { question, token: text === undefined ? undefined : createSecret(text) };
}

type BodyWords = Readonly<Record<'metadata' | 'bodyBytes', unknown>>;

/** What the question says of the body: its length and the few words that count, never its prompt. */
async function bodyOf(values: Values, io: ProgramIo): Promise<BodyWords | Record<string, never> | string> {
  const { body: path, 'max-tokens': most } = values;
  if (path !== undefined && most !== undefined)
    return 'a body says its own max_tokens: give --body or --max-tokens';
  if (most !== undefined) {
    if (!/^[1-9]\d{0,8}$/.test(most)) return '--max-tokens must be a whole number of at least 1';
    return { metadata: { max_tokens: Number(most) }, bodyBytes: 0 };
  }
  if (path === undefined) return {};
  const isTaken = values['token-stdin'] === true || values['token-file'] === '-';
  if (path === '-' && isTaken) return 'standard input holds one thing: name a file for the body';
  try {
    const bytes = path === '-' ? Buffer.from(await io.readInput()) : readFileSync(path);
    return { metadata: demandMetadata(bytes), bodyBytes: bytes.length };
  } catch (error) {
    return `${path} can not be read (${(error as NodeJS.ErrnoException).code ?? 'unknown fault'})`;
  }
}

function pairsOf(texts: readonly string[] = []): Readonly<Record<string, string>> | undefined {
  const pairs = texts.map((text) => /^([^=]+)=(.*)$/s.exec(text));
  if (pairs.includes(null)) return undefined;
  return Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? '', pair?.[2] ?? '']));
}

/** Throws ConfigMistakes. */
async function explainOffline({ question }: Asked, values: Values): Promise<Explanation | NotExplained> {
  const config =
    values.config === undefined
      ? parseConfig('limits: {store: memory}', { file: 'defaults', folder: '.' })
      : loadConfig(values.config);
  const { source } = config.policy;
  const path = values.policy ?? (source.kind === 'file' ? source.path : undefined);
  if (path === undefined) {
    const words = 'the process file names a ConfigMap: give the policy document by --policy';
    return { code: exitCode.usage, words };
  }
  const read = readExplainQuestion(question);
  if (typeof read === 'string') return { code: exitCode.usage, words: read };
  return createOfflineExplain(config, readPolicyDocument(path, config))(read);
}

/** Throws DependencyError. */
async function askRemotely(
  { question, token }: Asked,
  values: Values,
  io: ProgramIo,
): Promise<Explanation | NotExplained> {
  const url = readUrl(values.authorizer);
  if (url === undefined) {
    const words = '--authorizer must be an https URL, or one of this machine: http://127.0.0.1:9093';
    return { code: exitCode.usage, words };
  }
  const bearer = await readClusterToken(
    {
      ...(values['token-file'] !== undefined && { 'token-file': values['token-file'] }),
      ...(values.kubeconfig !== undefined && { kubeconfig: values.kubeconfig }),
      ...(values['context-name'] !== undefined && { context: values['context-name'] }),
    },
    io,
  );
  if (typeof bearer !== 'string') return explainRemotely({ url, question, token, bearer });
  const words = `no token of yours: ${bearer}; --token-file FILE, --kubeconfig FILE and --context-name NAME choose another`;
  return { code: exitCode.config, words };
}
