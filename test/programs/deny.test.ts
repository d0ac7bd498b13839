import { expect, it } from 'vitest';
import { deny } from '../../src/programs/deny.ts';

async function run(...args: readonly string[]) {
  const said: string[] = [];
  const code = await deny(args, {
    out: (line) => said.push(line),
    err: (line) => said.push(line),
    readInput: () => Promise.resolve(''),
    env: {},
  });
  return { code, said: said.join('\n') };
}

const why = ['--reason', 'left', '--for', '1h'];

it.each([
  ['nobody', why, 'exactly one of'],
  ['two at once', ['--user', 'u', '--jti', 'j', ...why], 'exactly one of'],
  ['an empty name', ['--user', ' ', ...why], 'empty name'],
  ['half an account', ['--service-account', 'name', ...why], 'NAMESPACE/NAME'],
  ['no reason', ['--user', 'u', '--for', '1h'], '--reason'],
  ['no end', ['--user', 'u', '--reason', 'r'], '--for or --until'],
  ['two ends', ['--user', 'u', '--until', '2099-01-01T00:00:00Z', ...why], '--for or --until'],
  ['a bare number', ['--user', 'u', '--reason', 'r', '--for', '5'], '--for'],
  ['an end that is over', ['--user', 'u', '--reason', 'r', '--until', '2020-01-01T00:00:00Z'], 'in the past'],
  ['no time', ['--user', 'u', '--reason', 'r', '--until', 'tomorrow'], 'must be a time'],
  ['an unknown word', ['everybody', ...why], 'usage'],
  ['an unknown flag', ['--all', ...why], '--all'],
])('says what is wrong with %s, and asks nobody', async (_name, args, words) => {
  const { code, said } = await run(...args);
  expect(code).toBe(64);
  expect(said).toContain(words);
});

it('tells how it is called', async () => {
  expect(await run('--help')).toMatchObject({
    code: 0,
    said: expect.stringContaining('--service-account') as string,
  });
});
