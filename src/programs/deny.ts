import { parseArgs } from 'node:util';
import type { DeniedEntry, DeniedKind } from '../check/denied-list.ts';
import { isDependencyError } from '../dependency-error.ts';
import { parseDuration } from '../duration.ts';
import { createKubernetesClient } from '../kubernetes/client.ts';
import { type Connection, loadConnection } from '../kubernetes/connection.ts';
import {
  createDeniedStore,
  deniedKey,
  type DeniedStore,
  type StoredDenial,
} from '../kubernetes/denied-config-map.ts';
import { type Config, loadConfig, parseConfig } from '../process/config.ts';
import { ConfigMistakes } from '../process/config-mistakes.ts';
import { readEnvironment } from '../process/environment.ts';
import { kubeconfigOf } from './load-policy.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf } from './run-server.ts';

const usage = `usage: tiergate deny (--user NAME | --service-account NAMESPACE/NAME | --jti ID)
                     --reason WORDS (--for DURATION | --until TIME)
       tiergate deny lift (--user NAME | --service-account NAMESPACE/NAME | --jti ID)
       tiergate deny list

Keeps a user, a ServiceAccount or one token out, whatever tokens they hold, until the given end. Every authorizer feels it
within a moment. NAME is the user that a token was issued to, or the full user name of another token.

  --for DURATION    30m, 12h, 7d
  --until TIME      2026-12-24T18:00:00Z
  --namespace NAME  where the authorizers look (default: policy.configMap.namespace, else the kubeconfig's)
  --config FILE     the process file, for its kubernetes and policy sections`;

const options = {
  user: { type: 'string' },
  'service-account': { type: 'string' },
  jti: { type: 'string' },
  reason: { type: 'string' },
  for: { type: 'string' },
  until: { type: 'string' },
  namespace: { type: 'string' },
  config: { type: 'string' },
  help: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parse>['values'];

function parse(args: readonly string[]) {
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

const timeoutMs = 10_000;

/** `tiergate deny`: the list of those whom an operator keeps out. */
export const deny: Program = async (args, io) => {
  try {
    const { values, positionals } = parse(args);
    const [command = 'add', ...rest] = positionals;
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    const prepare = Object.hasOwn(commands, command) ? commands[command] : undefined;
    if (prepare === undefined || rest.length > 0) return wrong(io, usage);
    // What is wrong with the words is said before anybody is asked.
    const act = prepare(values, Date.now());
    if (typeof act === 'string') return wrong(io, act);
    const store = await openStore(values, io);
    if (typeof store === 'string') return wrong(io, store);
    try {
      return await act(store.denied, io);
    } finally {
      store.close();
    }
  } catch (error) {
    if (!isDependencyError(error)) return exitCodeOf(error, io);
    io.err(`the API server can not be asked: ${error.message}`);
    return exitCode.unavailable;
  }
};

type Act = (store: DeniedStore, io: ProgramIo) => Promise<number>;

/** What is to be done, or in words why it can not be. */
const commands: Readonly<Record<string, (values: Values, nowMs: number) => Act | string>> = {
  add(values, nowMs) {
    const target = targetOf(values);
    if (typeof target === 'string') return target;
    const endsAtMs = endOf(values, nowMs);
    if (typeof endsAtMs === 'string') return endsAtMs;
    const { reason = '' } = values;
    if (reason.trim() === '') return '--reason is needed: whoever meets the denial will ask for it';
    return async (store, io) => {
      await store.change({ ...target, reason, endsAtMs }, endedKeys(await store.read(), nowMs));
      io.out(`denied until ${new Date(endsAtMs).toISOString()}: ${wordsOf(target)}`);
      return exitCode.done;
    };
  },

  lift(values, nowMs) {
    const target = targetOf(values);
    if (typeof target === 'string') return target;
    return async (store, io) => {
      const key = deniedKey(target);
      const stored = await store.read();
      const isThere = stored.some((other) => other.key === key);
      await store.change(undefined, [...(isThere ? [key] : []), ...endedKeys(stored, nowMs)]);
      io.out(isThere ? `lifted: ${wordsOf(target)}` : `not in the list: ${wordsOf(target)}`);
      return isThere ? exitCode.done : exitCode.failed;
    };
  },

  list(_values, nowMs) {
    return async (store, io) => {
      for (const { key, entry } of await store.read()) {
        if (entry === undefined) io.err(`${key}: nobody can read this entry; it denies nothing`);
        else if (entry.endsAtMs > nowMs) {
          io.out(`${new Date(entry.endsAtMs).toISOString()}  ${wordsOf(entry)}  ${entry.reason}`);
        }
      }
      return exitCode.done;
    };
  },
};

/** Every change clears out what has ended; authorizers only read. */
function endedKeys(stored: readonly StoredDenial[], nowMs: number): readonly string[] {
  return stored.flatMap(({ key, entry }) => (entry !== undefined && entry.endsAtMs <= nowMs ? [key] : []));
}

function targetOf(values: Values): Pick<DeniedEntry, 'kind' | 'value'> | string {
  const targets: readonly (readonly [DeniedKind, string | undefined])[] = [
    ['user', values.user],
    ['serviceAccount', values['service-account']],
    ['jti', values.jti],
  ];
  const given = targets.flatMap(([kind, value]) => (value === undefined ? [] : [{ kind, value }]));
  const [target] = given;
  if (target === undefined || given.length > 1) return 'name exactly one of --user, --service-account, --jti';
  if (target.value.trim() === '') return 'nobody has an empty name';
  if (target.kind === 'serviceAccount' && !/^[^/:]+\/[^/:]+$/.test(target.value)) {
    return '--service-account must be NAMESPACE/NAME';
  }
  return target;
}

function endOf(values: Values, nowMs: number): number | string {
  if ((values.for === undefined) === (values.until === undefined)) return 'give an end: --for or --until';
  if (values.for !== undefined) {
    try {
      return nowMs + parseDuration(values.for);
    } catch (error) {
      return `--for: ${error instanceof Error ? error.message : 'no duration'}`;
    }
  }
  const endsAtMs = Date.parse(values.until ?? '');
  if (Number.isNaN(endsAtMs)) return '--until must be a time such as 2026-12-24T18:00:00Z';
  return endsAtMs > nowMs ? endsAtMs : '--until is in the past';
}

function wordsOf({ kind, value }: Pick<DeniedEntry, 'kind' | 'value'>): string {
  return `${{ user: 'user', serviceAccount: 'ServiceAccount', jti: 'token' }[kind]} ${value}`;
}

function wrong(io: ProgramIo, words: string): number {
  io.err(words);
  return exitCode.usage;
}

async function openStore(values: Values, io: ProgramIo) {
  const config = readConfig(values.config ?? readEnvironment(io.env).configFile);
  const connection = await connect(config);
  const { source } = config.policy;
  const namespace =
    values.namespace ?? (source.kind === 'configMap' ? source.namespace : undefined) ?? connection.namespace;
  if (namespace === undefined) return 'which namespace? give --namespace';
  const client = createKubernetesClient({ connection, timeoutMs });
  return { denied: createDeniedStore(client, namespace), close: client.close };
}

/** Throws ConfigMistakes: there is no cluster to ask. */
async function connect(config: Config): Promise<Connection> {
  try {
    return await loadConnection(kubeconfigOf(config));
  } catch (error) {
    if (isDependencyError(error)) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new ConfigMistakes('kubeconfig', [
      { path: '', message: `${message}; that of KUBECONFIG, or of a process file (--config FILE)` },
    ]);
  }
}

/** Without a process file, only what the environment says of the cluster counts. */
function readConfig(path: string | undefined): Config {
  if (path !== undefined) return loadConfig(path);
  return parseConfig('limits: {store: memory}', { file: 'defaults', folder: '.' });
}
