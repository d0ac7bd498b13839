import { parseArgs } from 'node:util';

import { isDependencyError } from '../dependency-error.ts';
import { apiUrl, type IssuerQuestion, record, refusalFrom, sendToIssuer } from '../http/issuer-client.ts';
import type { Secret } from '../secret.ts';
import { clusterTokenOptions, readClusterToken, readUrl } from './cluster-token.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf } from './run-server.ts';

const usageText = `usage: tiergate usage --url URL [options]                                   what you have left, as JSON
       tiergate usage boost USER --percent 200 --for 2h --reason TEXT      raise every limit of a user for a time
       tiergate usage boost USER --end                                     end that before its time
       tiergate usage reset USER --reason TEXT                             forget what a user has used so far

  --url URL             the token API: https://gateway.example/maas-api (or TIERGATE_URL)
  --group               USER is a team: the name of its group
  --model               USER is a model: namespace/name
  --percent N           of each limit: 200 doubles it; from 101 to 100000
  --for TEXT            until its end: 30m, 2h, at most 31d
  --reason TEXT         for the audit record
  --token-file FILE     your token of the cluster; - is standard input. Default: the token of your kubeconfig
  --kubeconfig FILE     another kubeconfig than kubectl's
  --context NAME        another context than its current one

Boost and reset need the right to update usage (tiergate.dev) in the issuer's namespace.`;

const options = {
  url: { type: 'string' },
  ...clusterTokenOptions,
  group: { type: 'boolean' },
  model: { type: 'boolean' },
  percent: { type: 'string' },
  for: { type: 'string' },
  reason: { type: 'string' },
  end: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parseArgs<{ readonly options: typeof options }>>['values'];

const timeoutMs = 20_000;

/** `tiergate usage`: what is left, and what operators do about it. Answers on standard output, words on standard error. */
export const usage: Program = async (args, io) => {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    if (values.help === true) {
      io.out(usageText);
      return exitCode.done;
    }
    const url = readUrl(values.url ?? io.env['TIERGATE_URL']);
    const wish = readWish(positionals, values);
    if (url === undefined || wish === undefined) {
      io.err(usageText);
      return exitCode.usage;
    }
    const clusterToken = await readClusterToken(values, io);
    if (typeof clusterToken === 'string') {
      io.err(clusterToken);
      return exitCode.config;
    }
    return await fulfil(wish, { url, clusterToken, io });
  } catch (error) {
    if (!isDependencyError(error)) return exitCodeOf(error, io);
    io.err(error.message);
    return exitCode.unavailable;
  }
};

interface Wish extends Pick<IssuerQuestion, 'method' | 'body'> {
  readonly path: string;
  /** What to say once it is done; absent where the answer says it. */
  readonly done?: (answer: Readonly<Record<string, unknown>>) => string;
}

/** Undefined: not to be understood. */
function readWish([verb, name, ...rest]: readonly string[], values: Values): Wish | undefined {
  if (verb === undefined) return { method: 'GET', path: '/v1/usage' };
  if (name === undefined || rest.length > 0 || (values.group === true && values.model === true))
    return undefined;
  const target = { [values.group === true ? 'group' : values.model === true ? 'model' : 'user']: name };
  const { percent, for: duration, reason } = values;
  if (verb === 'reset' && reason !== undefined) {
    const done = () => `${name}: what was used is forgotten`;
    return { method: 'POST', path: '/v1/usage/reset', body: { ...target, reason }, done };
  }
  if (verb !== 'boost') return undefined;
  if (values.end === true) {
    const query = new URLSearchParams(target).toString();
    return {
      method: 'DELETE',
      path: `/v1/usage/boost?${query}`,
      done: () => `${name}: not boosted any more`,
    };
  }
  if (percent === undefined || duration === undefined || reason === undefined) return undefined;
  return {
    method: 'POST',
    path: '/v1/usage/boost',
    body: { ...target, percent: Number(percent), duration, reason },
    done: ({ endsAt }) =>
      `${name}: ${percent} % of each limit until ${new Date(Number(endsAt) * 1000).toISOString()}`,
  };
}

interface Fulfilling {
  readonly url: URL;
  readonly clusterToken: Secret;
  readonly io: ProgramIo;
}

async function fulfil(
  { path, done, ...question }: Wish,
  { url, clusterToken, io }: Fulfilling,
): Promise<number> {
  const [pathname = '', query = ''] = path.split('?');
  const target = apiUrl(url, pathname);
  target.search = query;
  const answer = await sendToIssuer({ ...question, target, clusterToken, timeoutMs });
  if (answer.status < 200 || answer.status > 204) {
    const { reason, message } = refusalFrom(answer);
    io.err(`refused (${reason}): ${message}`);
    return exitCode.failed;
  }
  io.out(done === undefined ? JSON.stringify(answer.body, null, 2) : done(record(answer.body)));
  return exitCode.done;
}
