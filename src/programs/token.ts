import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';

import { readJwtClaims } from '../check/jwt.ts';
import { isDependencyError } from '../dependency-error.ts';
import { createMintRemotely } from '../http/token-client.ts';
import { createFreshToken, type HeldToken } from '../issue/fresh-token.ts';
import { createTokenCache, tokenCacheFolder } from '../process/token-cache.ts';
import type { Secret } from '../secret.ts';
import { clusterTokenOptions, readClusterToken, readUrl } from './cluster-token.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf } from './run-server.ts';

const usage = `usage: tiergate token --url URL [options]

Prints an access token for the models behind a gateway, minted with your token of the cluster and kept until near its end.

  --url URL             the token API: https://gateway.example/maas-api (or TIERGATE_URL)
  --token-file FILE     your token of the cluster; - is standard input. Default: the token of your kubeconfig
  --kubeconfig FILE     another kubeconfig than kubectl's
  --context NAME        another context than its current one
  --expiration TEXT     30m, 4h; default: the API's, 4h
  --name TEXT           a name to tell it by in the list of your tokens
  --format FORMAT       raw (default), env (OPENAI_API_KEY for a shell), exec-credential (client.authentication.k8s.io)
  --no-cache            neither use the token that is kept nor keep the new one`;

const options = {
  url: { type: 'string' },
  ...clusterTokenOptions,
  expiration: { type: 'string' },
  name: { type: 'string' },
  format: { type: 'string' },
  'no-cache': { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parseArgs<{ readonly options: typeof options }>>['values'];

const timeoutMs = 20_000;

/** `tiergate token`: a fresh access token on standard output, words on standard error. */
export const token: Program = async (args, io) => {
  try {
    const { values } = parseArgs({ args: [...args], options });
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    const url = readUrl(values.url ?? io.env['TIERGATE_URL']);
    const print = formats[values.format ?? 'raw'];
    if (url === undefined || print === undefined) {
      io.err(usage);
      return exitCode.usage;
    }
    return await printToken(url, { values, io, print });
  } catch (error) {
    if (!isDependencyError(error)) return exitCodeOf(error, io);
    io.err(error.message);
    return exitCode.unavailable;
  }
};

interface Printing {
  readonly values: Values;
  readonly io: ProgramIo;
  readonly print: Format;
}

async function printToken(url: URL, { values, io, print }: Printing): Promise<number> {
  const clusterToken = await readClusterToken(values, io);
  if (typeof clusterToken === 'string') {
    io.err(clusterToken);
    return exitCode.config;
  }
  const { expiration, name } = values;
  const mint = createMintRemotely({ url, clusterToken, expiration, name, timeoutMs });
  const warn = (words: string): void => io.err(`warning: ${words}`);
  const cache = createTokenCache({
    folder: tokenCacheFolder(io.env),
    key: [url.href, ownerOf(clusterToken), expiration ?? '', name ?? ''],
    warn,
  });
  const fresh = createFreshToken({
    mint,
    recall: values['no-cache'] === true ? async () => undefined : cache.recall,
    keep: values['no-cache'] === true ? async () => undefined : cache.keep,
    warn,
    now: Date.now,
  });
  const held = await fresh();
  if ('refused' in held) {
    io.err(`refused (${held.reason}): ${held.message}`);
    return exitCode.failed;
  }
  io.out(print(held, io.env));
  return exitCode.done;
}

/** Whose token it is, as far as it says: a token that was renewed finds what the old one has minted, another user's does not. */
function ownerOf(clusterToken: Secret): string {
  const text = clusterToken.reveal();
  const subject = subjectOf(text);
  return subject ?? createHash('sha256').update(text).digest('hex');
}

function subjectOf(text: string): string | undefined {
  if (readJwtClaims(text) === undefined) return undefined;
  const payload = Buffer.from(text.split('.')[1] ?? '', 'base64url').toString('utf8');
  const { iss, sub } = JSON.parse(payload) as { readonly iss?: unknown; readonly sub?: unknown };
  return typeof iss === 'string' && typeof sub === 'string' ? JSON.stringify([iss, sub]) : undefined;
}

type Format = (held: HeldToken, env: ProgramIo['env']) => string;

const formats: Readonly<Record<string, Format>> = {
  raw: ({ token: secret }) => secret.reveal(),
  env: ({ token: secret }) => `export OPENAI_API_KEY=${secret.reveal()}`,
  'exec-credential': ({ token: secret, expiresAtMs }, env) =>
    JSON.stringify({
      apiVersion: execVersion(env['KUBERNETES_EXEC_INFO']),
      kind: 'ExecCredential',
      status: {
        token: secret.reveal(),
        expirationTimestamp: new Date(expiresAtMs).toISOString(),
      },
    }),
};

/** Whoever calls says which version it understands. */
function execVersion(execInfo: string | undefined): string {
  return execInfo?.includes('client.authentication.k8s.io/v1beta1') === true
    ? 'client.authentication.k8s.io/v1beta1'
    : 'client.authentication.k8s.io/v1';
}
