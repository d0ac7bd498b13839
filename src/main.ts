#!/usr/bin/env node
import { text } from 'node:stream/consumers';
import { exitCode, type Program, type ProgramIo } from './programs/program.ts';

interface Command {
  readonly summary: string;
  /** What `--help` says after the name; absent where the program has more to say. */
  readonly options?: string;
  /** What the options are, and what holds without them; a line each. */
  readonly details?: readonly string[];
  /** Loaded when it is called: a command pays for no other command's libraries. */
  readonly load: () => Promise<Program>;
}

const serverDetails = [
  '--config FILE  the process file (docs/configuration.md); default that of the environment variable CONFIG_FILE',
];

const commands: Readonly<Record<string, Command>> = {
  authorizer: {
    options: '[--config FILE]',
    details: serverDetails,
    summary: 'answers Envoy: ext_authz v3 over gRPC',
    load: async () => (await import('./programs/authorizer-program.ts')).authorizer,
  },
  issuer: {
    options: '[--config FILE]',
    details: serverDetails,
    summary: 'the token API: mint, list and revoke access tokens',
    load: async () => (await import('./programs/issuer.ts')).issuer,
  },
  token: {
    summary: 'prints a fresh access token, kept until near its end',
    load: async () => (await import('./programs/token.ts')).token,
  },
  usage: {
    summary: 'what is left of your limits; boost or reset those of one user',
    load: async () => (await import('./programs/usage.ts')).usage,
  },
  sandbox: {
    options:
      '[--gateway-port PORT] [--grpc-port PORT] [--http-port PORT] [--console-port PORT] [--no-envoy] [--policy FILE]',
    details: [
      '--gateway-port PORT  the gateway; default 8000. A port of 0 takes a free one, here and below',
      '--grpc-port PORT     the authorizer, ext_authz v3; default 9090',
      '--http-port PORT     the same over HTTP; default 9092',
      '--console-port PORT  the console; default 8001',
      '--policy FILE        a policy document, followed while it runs; default one with the tiers free, premium, enterprise',
      '--no-envoy           the built-in gateway, even if there is an Envoy on the PATH',
      '`tiergate deny` does not reach it: its embedded Kubernetes API is no cluster of a kubeconfig.',
    ],
    summary: 'all of it on one machine, with lines to paste',
    load: async () => (await import('./programs/sandbox.ts')).sandbox,
  },
  deny: {
    summary: 'keeps a user, a ServiceAccount or a token out until a given end',
    load: async () => (await import('./programs/deny.ts')).deny,
  },
  registrar: {
    summary: "keeps clusters' SSO profiles as wanted, and their Initial Access Token alive",
    load: async () => (await import('./programs/registrar.ts')).registrar,
  },
  iat: {
    summary: 'an Initial Access Token: status, ticket, set, renew',
    load: async () => (await import('./programs/iat.ts')).iat,
  },
  sso: {
    summary: 'what the registrar would do: plan',
    load: async () => (await import('./programs/sso.ts')).sso,
  },
  explain: {
    summary: 'whether a request would pass, and why',
    load: async () => (await import('./programs/explain.ts')).explain,
  },
  simulate: {
    summary: 'who would have been denied by a policy document, by the decision log of the past',
    load: async () => (await import('./programs/simulate.ts')).simulate,
  },
  'check-config': {
    summary: 'every mistake of a process file or a policy document at once; what a new document changes',
    load: async () => (await import('./programs/check-config.ts')).checkConfig,
  },
};

function usage(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  const more = '`tiergate COMMAND --help` says more of each; `tiergate --version` which one this is.';
  return ['usage: tiergate <command> [options]', '', ...lines, '', more].join('\n');
}

const io: ProgramIo = {
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  readInput: () => text(process.stdin),
  env: process.env,
};

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined) {
    io.err(usage());
    return exitCode.usage;
  }
  if (['--help', '-h', 'help'].includes(name)) {
    io.out(usage());
    return exitCode.done;
  }
  if (['--version', '-v', 'version'].includes(name) || args.includes('--version')) {
    io.out(`tiergate ${(await import('./programs/run-server.ts')).packageVersion()}`);
    return exitCode.done;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    io.err(`tiergate has no command ${name}\n\n${usage()}`);
    return exitCode.usage;
  }
  if (command.options !== undefined && args.some((arg) => arg === '--help' || arg === '-h')) {
    const details = command.details?.map((line) => `  ${line}`) ?? [];
    io.out([`usage: tiergate ${name} ${command.options}`, '', command.summary, '', ...details].join('\n'));
    return exitCode.done;
  }
  const program = await command.load();
  // One spelling for the commands, which all know the long one.
  return await program(
    args.map((arg) => (arg === '-h' ? '--help' : arg)),
    io,
  );
}

// Never process.exit: whoever started something ends it, and the process ends when nothing is left to do.
process.exitCode = await main(process.argv.slice(2));
