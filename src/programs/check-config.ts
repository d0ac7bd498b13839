import { loadConfig } from '../process/config.ts';
import { readPolicyFile } from './load-policy.ts';
import { exitCode, type Program } from './program.ts';
import { exitCodeOf } from './run-server.ts';

/** `tiergate check-config FILE`: the process file, and the policy document where it names a file. */
export const checkConfig: Program = (args, io) => Promise.resolve(checkFile(args, io));

const checkFile: (...given: Parameters<Program>) => number = (args, io) => {
  const [path] = args;
  if (path === undefined || path.startsWith('-') || args.length > 1) {
    io.err('usage: tiergate check-config FILE');
    return exitCode.usage;
  }
  try {
    const config = loadConfig(path);
    const { source } = config.policy;
    if (source.kind === 'configMap') {
      io.out(
        `${path}: valid; the policy document (ConfigMap ${source.name}) is read from the cluster at start`,
      );
      return exitCode.done;
    }
    const policy = readPolicyFile(source.path, config);
    for (const warning of policy.warnings) io.err(`${source.path}: warning: ${warning}`);
    io.out(`${path}: valid; ${source.path}: valid, tiers ${policy.tiers.map(({ name }) => name).join(', ')}`);
    return exitCode.done;
  } catch (error) {
    return exitCodeOf(error, io);
  }
};
