import { parseArgs } from 'node:util';
import { policyDifference, isSame } from '../policy/difference.ts';
import type { Policy } from '../policy/policy.ts';
import { type Config, loadConfig, parseConfig } from '../process/config.ts';
import { differenceLines } from './difference-text.ts';
import { isPolicyDocument, readPolicyDocument } from './policy-document.ts';
import { preflight } from './preflight.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { exitCodeOf } from './run-server.ts';
import { readUsersFile } from './users-file.ts';

const usage = `usage: tiergate check-config FILE [--files]
       tiergate check-config --policy NEW [--against OLD] [options]

The process file: every mistake at once, and the policy document where it names a file. What else it names (keys,
certificates, kubeconfig) is looked for, and what is not here is told of; with --files that is a mistake.

The policy document (the list of tiers, or the manifest of its ConfigMap): every mistake at once, and what differs from OLD:
who changes tier, which limits change, what can never bind.

  --users FILE    JSON {"user": ["group", ...]}: says of these users who changes tier
  --config FILE   a process file, for its policy and instance settings
  --json          the difference as JSON
  --exit-code     1 if anything differs for anybody

Exit code: 0 valid, 1 differs (with --exit-code), 64 wrong arguments, 78 mistakes.`;

const options = {
  files: { type: 'boolean' },
  policy: { type: 'string' },
  against: { type: 'string' },
  users: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  'exit-code': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseArgs<{ readonly options: typeof options }>>['values'];

/** `tiergate check-config`: a process file, or a policy document and what it changes. */
export const checkConfig: Program = async (args, io) => {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    const [path, ...rest] = positionals;
    if (rest.length > 0 || (path === undefined) === (values.policy === undefined)) return wrong(io);
    if (values.policy !== undefined) return checkPolicy(values.policy, values, io);
    if (path === undefined || values.against !== undefined || values.users !== undefined) return wrong(io);
    return isPolicyDocument(path) ? checkPolicy(path, values, io) : await checkProcessFile(path, values, io);
  } catch (error) {
    const code = exitCodeOf(error, io);
    if (code === exitCode.usage) io.err(usage);
    return code;
  }
};

function wrong(io: ProgramIo): number {
  io.err(usage);
  return exitCode.usage;
}

/** Throws ConfigMistakes. */
async function checkProcessFile(path: string, values: Values, io: ProgramIo): Promise<number> {
  const { config, isForRegistrar } = loadForAnyProgram(path);
  const { source } = config.policy;
  const said: string[] = [];
  if (isForRegistrar) said.push('for the registrar; authorizer and issuer need redis, too');
  else if (source.kind === 'configMap') {
    said.push(`the policy document (ConfigMap ${source.name}) is read from the cluster at start`);
  } else {
    const policy = readPolicyDocument(source.path, config);
    warn(source.path, policy, io);
    said.push(`${source.path}: valid, tiers ${namesOf(policy)}`);
  }
  const missing = await preflight(config, config.listeners);
  const isStrict = values.files === true;
  for (const words of missing) io.err(isStrict ? words : `not here: ${words}`);
  if (missing.length > 0 && isStrict) return exitCode.config;
  io.out([`${path}: valid`, ...said].join('; '));
  return exitCode.done;
}

/** A file without a word of Redis is good for the registrar, if it has its section. */
function loadForAnyProgram(path: string): { readonly config: Config; readonly isForRegistrar: boolean } {
  const config = loadConfig(path, { counters: false });
  const isForRegistrar =
    config.registrar !== undefined && config.limits.store === 'redis' && config.redis === undefined;
  return isForRegistrar ? { config, isForRegistrar } : { config: loadConfig(path), isForRegistrar };
}

/** Throws ConfigMistakes. */
function checkPolicy(path: string, values: Values, io: ProgramIo): number {
  const config =
    values.config === undefined
      ? parseConfig('limits: {store: memory}', { file: 'defaults', folder: '.' })
      : loadConfig(values.config);
  const after = readPolicyDocument(path, config);
  if (values.against === undefined) {
    if (values.json === true) {
      io.out(
        JSON.stringify({ tiers: after.tiers.map(({ name }) => name), warnings: after.warnings }, null, 2),
      );
    } else {
      warn(path, after, io);
      io.out(`${path}: a valid policy document, tiers ${namesOf(after)}`);
    }
    return exitCode.done;
  }
  const before = readPolicyDocument(values.against, config);
  const users = values.users === undefined ? undefined : readUsersFile(values.users);
  const difference = policyDifference(before, after, users);
  if (values.json === true) io.out(JSON.stringify(difference, null, 2));
  else for (const line of differenceLines(difference)) io.out(line);
  return values['exit-code'] === true && !isSame(difference) ? exitCode.failed : exitCode.done;
}

function warn(path: string, { warnings }: Policy, io: ProgramIo): void {
  for (const warning of warnings) io.err(`${path}: warning: ${warning}`);
}

function namesOf({ tiers }: Policy): string {
  return tiers.map(({ name }) => name).join(', ');
}
