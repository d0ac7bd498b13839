import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Program } from '../../src/programs/program.ts';
import { checkConfig } from '../../src/programs/check-config.ts';
import { deny } from '../../src/programs/deny.ts';
import { explain } from '../../src/programs/explain.ts';
import { iat } from '../../src/programs/iat.ts';
import { registrar } from '../../src/programs/registrar.ts';
import { simulate } from '../../src/programs/simulate.ts';
import { sso } from '../../src/programs/sso.ts';
import { token } from '../../src/programs/token.ts';
import { usage } from '../../src/programs/usage.ts';
import { codeOf, documents, root } from './documents.ts';

interface Call {
  readonly in: string;
  readonly command: string;
  readonly flags: readonly string[];
}

/** Every way in which documents call us: `tiergate X`, `node dist/main.js X`, `npm start -- …`. */
function callsIn(path: string, code: string): readonly Call[] {
  const lines = code.replaceAll(/\\\n\s*/g, ' ').replaceAll(/ {2,}#.*$| # .*$/gm, '');
  const called =
    /(?:^|[|;&]\s*|\$\(|"|exec )(?:\$ )?(?:tiergate|node dist\/main\.js|npm start --) ([a-z][a-z-]*|(?=--))([^|;&)\n]*)/gm;
  return Array.from(lines.matchAll(called), ([, command = '', rest = '']) => ({
    in: path,
    command: command === '' ? 'sandbox' : command,
    flags: Array.from(rest.matchAll(/(?<=[\s([])--[a-z][a-z-]*/g), ([flag]) => flag),
  }));
}

const calls = documents
  .filter(({ path }) => path !== 'CHANGELOG.md')
  .flatMap((document) => codeOf(document).flatMap((code) => callsIn(document.path, code)));

/** Those that say more of themselves than main does. */
const programs: Readonly<Record<string, Program>> = {
  'check-config': checkConfig,
  deny,
  explain,
  iat,
  registrar,
  simulate,
  sso,
  token,
  usage,
};

async function helpOf(program: Program): Promise<string> {
  const said: string[] = [];
  const say = (line: string) => said.push(line);
  await program(['--help'], { out: say, err: say, readInput: async () => '', env: {} });
  return said.join('\n');
}

describe('the commands that documents show', () => {
  const main = readFileSync(join(root, 'src/main.ts'), 'utf8');
  const table = main.slice(main.indexOf('const commands'), main.indexOf('function usage'));
  const commands = new Map(
    [...table.matchAll(/^ {2}'?([a-z-]+)'?: \{([\s\S]*?)^ {2}\},/gm)].map(([, name = '', words = '']) => [
      name,
      words,
    ]),
  );
  const helpByCommand = new Map<string, string>();

  beforeAll(async () => {
    for (const [name, words] of commands) {
      const program = programs[name];
      helpByCommand.set(name, `${words}\n${program === undefined ? '' : await helpOf(program)}`);
    }
  });

  it('are there', () => {
    expect(commands.size).toBeGreaterThan(10);
    expect(calls.length).toBeGreaterThan(60);
    expect(calls.filter(({ command }) => !commands.has(command))).toEqual([]);
    expect([...commands.keys()].filter((name) => !calls.some(({ command }) => command === name))).toEqual([]);
  });

  it('take the flags that they are shown with, and say so in their help', () => {
    const unknown = calls.flatMap((call) =>
      call.flags
        .filter((flag) => !new RegExp(`${flag}(?![a-z-])`).test(helpByCommand.get(call.command) ?? ''))
        .map((flag) => `${call.in}: tiergate ${call.command} ${flag}`),
    );
    expect(calls.flatMap(({ flags }) => flags).length).toBeGreaterThan(60);
    expect([...new Set(unknown)]).toEqual([]);
  });
});
