import { parseArgs } from 'node:util';
import { isDependencyError } from '../dependency-error.ts';
import { createLog } from '../process/log.ts';
import type { RegistrarConfig } from '../process/registrar-config.ts';
import { inWords } from '../register/iat-acceptance.ts';
import type { IatLife, Replacement } from '../register/iat-life.ts';
import { type IatState, severityOf, urgencyOf } from '../register/iat-state.ts';
import { ticketText } from '../register/ticket.ts';
import { createSecret } from '../secret.ts';
import { exitCode, type Program, type ProgramIo } from './program.ts';
import { connectKubernetes, loadRegistrarFile, type RegistrarFile } from './registrar-config-file.ts';
import { createRegistrarParts } from './registrar-parts.ts';
import { exitCodeOf } from './run-server.ts';

const usage = `usage: tiergate iat <command> [--instance NAME] [--config FILE]

The Initial Access Token that SSO profiles are made with.

  status    how it is; exit code 1 if somebody must act
  ticket    the text of the request for a new one
  set       takes a new one from standard input, checks it and puts it in place of the present one
              --accept-shorter   even if it ends earlier than the present one, or lives shorter than agreed
  renew     has the realm make a new one, where that is ours to do; the registrar revokes the old one later

  --instance NAME   one of registrar.instances; may be left out where there is only one (status, ticket: all)`;

const options = {
  config: { type: 'string' },
  instance: { type: 'string' },
  'accept-shorter': { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

interface Call {
  readonly io: ProgramIo;
  readonly config: RegistrarConfig;
  readonly lives: readonly IatLife[];
  readonly acceptShorter: boolean;
  readonly signal: AbortSignal;
}

type Command = (call: Call) => Promise<number>;

const commandTimeoutMs = 60_000;

/** `tiergate iat status | ticket | set | renew`. */
export const iat: Program = async (args, io) => {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [name = '', ...rest] = positionals;
    const command = isCommand(name) ? commands[name] : undefined;
    if (values.help === true) {
      io.out(usage);
      return exitCode.done;
    }
    if (command === undefined || rest.length > 0) {
      // Whatever was written there: a token on a command line is a token in a shell's history.
      io.err(usage);
      return exitCode.usage;
    }
    return await runIat(command, loadRegistrarFile(values.config, io), {
      io,
      instance: values.instance,
      acceptShorter: values['accept-shorter'] === true,
    });
  } catch (error) {
    if (!isDependencyError(error)) return exitCodeOf(error, io);
    io.err(error.message);
    return exitCode.unavailable;
  }
};

export interface IatCall {
  readonly io: ProgramIo;
  readonly instance?: string | undefined;
  readonly acceptShorter?: boolean;
}

/** One command on the instances that are meant. Throws DependencyError. */
export async function runIat(command: Command, file: RegistrarFile, call: IatCall): Promise<number> {
  const { io, instance: wanted, acceptShorter = false } = call;
  const { lives: all } = await createRegistrarParts({
    config: file.registrar,
    kubernetes: () => connectKubernetes(file.config),
    warn: (words) => io.err(`warning: ${words}`),
    onApplied: () => undefined,
    onRealmCall: () => undefined,
  });
  const lives = all.filter(({ instance }) => wanted === undefined || instance.name === wanted);
  if (lives.length === 0) {
    io.err(`there is no such instance; there are ${namesOf(all)}`);
    return exitCode.usage;
  }
  const signal = AbortSignal.timeout(commandTimeoutMs);
  return command({ io, lives, config: file.registrar, acceptShorter, signal });
}

export const commands: Readonly<Record<'status' | 'ticket' | 'set' | 'renew', Command>> = {
  status: async ({ io, lives, config, signal }) => {
    let isFine = true;
    for (const life of lives) {
      const state = await life.inspect(signal);
      const lines = statusLines(life, state, config.escalation);
      for (const line of lines) io.out(line);
      isFine &&= urgencyOf(state, life.instance, 0, Date.now()) === 'fine';
    }
    return isFine ? exitCode.done : exitCode.failed;
  },

  ticket: async ({ io, lives, config, signal }) => {
    const texts: string[] = [];
    for (const { instance, inspect } of lives)
      texts.push(ticketText(instance, await inspect(signal), config));
    io.out(texts.join('\n----\n\n').trimEnd());
    return exitCode.done;
  },

  set: async (call) => {
    const life = onlyOne(call);
    if (life === undefined) return exitCode.usage;
    const token = createSecret((await call.io.readInput()).trim());
    return told(call, life, 'set', await life.replace(token, call.acceptShorter, call.signal));
  },

  renew: async (call) => {
    const life = onlyOne(call);
    if (life === undefined) return exitCode.usage;
    return told(call, life, 'renew', await life.renew(call.signal));
  },
};

function isCommand(name: string): name is keyof typeof commands {
  return Object.hasOwn(commands, name);
}

function onlyOne({ io, lives }: Call): IatLife | undefined {
  const [life, ...others] = lives;
  if (others.length === 0) return life;
  io.err(`name one with --instance: ${namesOf(lives)}`);
  return undefined;
}

function namesOf(lives: readonly IatLife[]): string {
  return lives.map(({ instance }) => instance.name).join(', ');
}

/** What came of it: on standard output for the person, on standard error for the record. */
function told({ io }: Call, { instance }: IatLife, action: string, replacement: Replacement): number {
  const audit = createLog({ level: 'info', write: (line) => io.err(line.trimEnd()), now: Date.now });
  if (replacement.outcome === 'refused') {
    audit.record('iat_audit', {
      instance: instance.name,
      action,
      outcome: 'refused',
      detail: replacement.detail,
    });
    io.out(replacement.detail);
    return exitCode.failed;
  }
  const { id, expiresAtMs } = replacement.claims;
  const ends = expiresAtMs === undefined ? undefined : new Date(expiresAtMs).toISOString();
  audit.record('iat_audit', { instance: instance.name, action, outcome: 'done', tokenId: id, expires: ends });
  io.out(
    `${instance.name}: token ${id} is in place, ${ends === undefined ? 'it never expires' : `it expires at ${ends}`}.`,
  );
  return exitCode.done;
}

function statusLines({ instance }: IatLife, state: IatState, escalation: string): readonly string[] {
  const now = Date.now();
  const urgency = urgencyOf(state, instance, 0, now);
  return [
    `${instance.name} (${instance.environment}, severity ${severityOf[instance.environment]}): ${urgency}`,
    `  realm       ${instance.issuer}`,
    `  token       ${state.claims?.id ?? 'none'}`,
    `  expires     ${expiryWords(state, now)}`,
    `  remaining   ${remainingWords(state, instance.clients)}`,
    `  usable      ${usableWords(state)}`,
    ...(urgency === 'fine' ? [] : [`  escalate to ${escalation}`]),
  ];
}

function expiryWords({ claims }: IatState, nowMs: number): string {
  if (claims === undefined) return 'unknown';
  if (claims.expiresAtMs === undefined) return 'never';
  const leftMs = claims.expiresAtMs - nowMs;
  const distance = leftMs > 0 ? `in ${inWords(leftMs)}` : `${inWords(-leftMs)} ago`;
  return `${new Date(claims.expiresAtMs).toISOString()} (${distance})`;
}

function remainingWords({ remaining, remainingSource }: IatState, clients: number): string {
  if (remaining === undefined) return 'unknown';
  const source = remainingSource === 'admin' ? 'as the realm counts' : 'as we count, others not included';
  return `${remaining} of ${clients} clients (${source})`;
}

function usableWords({ problem, detail, isProbed }: IatState): string {
  if (problem !== undefined) return `no, ${problem}: ${detail}`;
  return isProbed ? 'yes' : 'as far as can be told without the realm, which does not answer';
}
