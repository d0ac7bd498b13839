import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProgramProcess } from './program-process.ts';
import { startTwoPrograms, type TwoPrograms } from './two-programs.ts';

/** Tokens of which either end is in the heap; whole ones, and parts that were cut out of them, hold one. */
function held(heap: Buffer, tokens: Iterable<string>): readonly string[] {
  return [...tokens].filter((token) => {
    const signature = token.split('.').at(-1) ?? token;
    return heap.includes(signature.slice(0, 24)) || heap.includes(signature.slice(-24));
  });
}

/** The last byte of a snapshot closes its JSON. */
function isWhole(path: string): boolean {
  const { size } = statSync(path);
  const end = Buffer.alloc(16);
  const file = openSync(path, 'r');
  readSync(file, end, 0, end.length, Math.max(0, size - end.length));
  closeSync(file);
  return size > 1_000_000 && end.toString().replaceAll('\0', '').trimEnd().endsWith('}');
}

/** Here and not among the quick tests: V8 takes some seconds for a snapshot. */
describe('the heap after tokens were checked', () => {
  let programs: TwoPrograms;
  const sent = new Set<string>();

  const ask = (headers: Readonly<Record<string, string>>) =>
    programs.check.ask(
      {
        id: String(Math.random()),
        method: 'POST',
        path: '/llm/llama/v1/chat/completions',
        host: 'gateway',
        source: '10.0.0.1',
        headers,
      },
      5_000,
    );
  const call = (init: RequestInit) => fetch(`${programs.issuerUrl}/v1/tokens`, init);

  beforeAll(async () => {
    programs = await startTwoPrograms([
      '--heapsnapshot-signal=SIGUSR2',
      '--heap-snapshot-string-limit=100000',
    ]);
    for (let times = 0; times < 25; times += 1) {
      const token = await programs.issueToken();
      const forged = `${token.slice(0, -40)}${token.slice(-20)}${token.slice(-40, -20)}`;
      sent.add(token).add(forged);
      // Known, known by another header, forged, malformed, and the known one from the cache.
      const answer = await ask({ authorization: `Bearer ${token}` });
      expect(answer.allowed).toBe(true);
      await Promise.all([
        ask({ 'x-api-key': token }),
        ask({ authorization: `Bearer ${forged}` }),
        ask({ authorization: `Bearer ${token},${forged}` }),
        ask({ authorization: `Bearer ${token}`, 'x-api-key': forged }),
        call({ headers: { authorization: `Bearer ${token}` } }),
      ]);
    }
    for (const name of ['bob', 'alice'] as const) {
      const token = programs.tokenOf(name);
      sent.add(token);
      const headers = { authorization: `Bearer ${token}` };
      const minted = await call({ method: 'POST', headers });
      sent.add(((await minted.json()) as { readonly token: string }).token);
      await call({ headers });
    }
    // What V8 remembers of the last text that was matched, and a connection of its last request, is some other's.
    for (let times = 0; times < 50; times += 1) {
      await ask({});
      await call({});
    }
  });

  afterAll(async () => {
    await programs.stop();
  });

  /** All that the process holds; V8 collects garbage before it writes. */
  async function snapshot(program: ProgramProcess): Promise<Buffer> {
    const before = new Set(readdirSync(programs.folder));
    program.signal('SIGUSR2');
    for (;;) {
      await sleep(200);
      const name = readdirSync(programs.folder).find(
        (other) => other.endsWith('.heapsnapshot') && !before.has(other),
      );
      if (name === undefined) continue;
      const path = join(programs.folder, name);
      if (isWhole(path)) return readFileSync(path);
    }
  }

  it.each(['authorizer', 'issuer'] as const)(
    'holds none of them in the %s: not as a key, not as a value',
    async (name) => {
      const heap = await snapshot(programs[name]);
      // The search would find them: our own token is there, which it has to be.
      expect(held(heap, programs.ownTokens)).toHaveLength(1);
      expect(held(heap, sent)).toEqual([]);
      // And so is whom they are for, where verdicts are remembered.
      if (name === 'authorizer') expect(heap.includes('-tier-free:sam')).toBe(true);
    },
  );
});
