import { parseArgs } from 'node:util';
import { exitCode, type Program } from './program.ts';
import { runOnce } from './registrar.ts';
import { loadRegistrarFile } from './registrar-config-file.ts';
import { exitCodeOf } from './run-server.ts';

const usage = `usage: tiergate sso plan [--config FILE] [--allow-mass-delete]

Prints what the registrar would do now, and changes nothing. Exit code 1 if not everything could be done.`;

const options = {
  config: { type: 'string' },
  'allow-mass-delete': { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

/** `tiergate sso plan`: the dry run under the name by which people look for it. */
export const sso: Program = async (args, io) => {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [command, ...rest] = positionals;
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    if (command !== 'plan' || rest.length > 0) {
      io.err(usage);
      return exitCode.usage;
    }
    const flags = { dryRun: true, allowMassDelete: values['allow-mass-delete'] === true };
    return await runOnce(loadRegistrarFile(values.config, io), io, flags);
  } catch (error) {
    return exitCodeOf(error, io);
  }
};
