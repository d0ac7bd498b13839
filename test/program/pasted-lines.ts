import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';

/** A line of the start text as a person would paste it, continuation lines included. */
export interface PastedLine {
  /** Number of the heading above it. */
  readonly step: number;
  readonly command: string;
  /** What it printed. */
  readonly output: string;
}

/** An HTTP response as `curl -i` prints it. */
export interface PrintedResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/**
 * Pastes the lines of a start text into bash, in their order and into one shell, so that what one line sets is
 * there for the next. Nothing is added to them and nothing is left out.
 */
export async function pasteLines(startText: string): Promise<readonly PastedLine[]> {
  const commands = readCommands(startText);
  const mark = '=== end of line ===';
  const script = commands.map(({ command }) => `${command}\nprintf '\\n%s\\n' '${mark}'`).join('\n');
  const shell = spawn('bash', ['-c', `set -u; command -v curl >/dev/null || exit 127\n${script}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  shell.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(shell, 'close')) as [number | null];
  if (code === 127) throw new Error('curl is needed to paste the lines, and is not on the PATH');
  if (code !== 0) throw new Error(`bash ended with ${code}: ${err}`);
  const outputs = out.split(`\n${mark}\n`);
  return commands.map(({ step, command }, at) => ({ step, command, output: outputs[at] ?? '' }));
}

function readCommands(startText: string): readonly Omit<PastedLine, 'output'>[] {
  const start = startText.indexOf('# 1.');
  const end = startText.indexOf('\nCtrl-C');
  if (start < 0 || end < 0) throw new Error(`no lines to paste in:\n${startText}`);
  const commands: { step: number; command: string }[] = [];
  let step = 0;
  let isContinued = false;
  for (const line of startText.slice(start, end).split('\n')) {
    const [, number] = /^# (\d+)\. /.exec(line) ?? [];
    const last = commands.at(-1);
    if (isContinued && last !== undefined) last.command += `\n${line}`;
    else if (number !== undefined) step = Number(number);
    else if (line !== '') commands.push({ step, command: line });
    isContinued = /[\\|]$/.test(line);
  }
  return commands;
}

export function readResponse(output: string): PrintedResponse {
  const end = output.indexOf('\r\n\r\n');
  const [statusLine = '', ...fields] = output.slice(0, end).split('\r\n');
  return {
    status: Number(statusLine.split(' ')[1]),
    headers: new Map(
      fields.map((field) => {
        const colon = field.indexOf(':');
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
      }),
    ),
    body: output.slice(end + 4),
  };
}

/** The body is an error in OpenAI's shape, and says the same reason as the header does. */
export function expectError({ headers, body }: PrintedResponse, reason: string): void {
  expect(headers.get('content-type')).toBe('application/json');
  expect(headers.get('x-tiergate-reason')).toBe(reason);
  expect(JSON.parse(body)).toEqual({
    error: {
      message: expect.stringMatching(/^\p{Lu}.*\.$/u) as string,
      type: expect.stringMatching(/^[a-z]+_[a-z_]+$/) as string,
      param: null,
      code: expect.stringMatching(/^[a-z_]+$/) as string,
      reason,
    },
  });
}
