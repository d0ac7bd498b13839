import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createConnection } from '../../../src/envoy/http2/connection.ts';
import { partDirectory } from '../../real/part-directory.ts';
import { literalBlock, rethrow } from './frames.ts';

/**
 * Cases that are meant to fail: RFC 7540 section 5.3.1 forbade that a stream depends on itself; RFC 9113 section 5.3.2
 * dropped priorities, and what is said of them is not heeded.
 */
const dropped = [
  'http2/5.3.1: Sends HEADERS frame that depend on itself',
  'http2/5.3.1: Sends PRIORITY frame that depend on itself',
];

/** What the case of section 5.1.2 goes beyond; the answer takes long enough for it to get there. */
const maxConcurrentStreams = 100;
const answerAfterMs = 20;

const answerHead = literalBlock([
  [':status', '200'],
  ['content-type', 'text/plain'],
]);
const answerEnd = literalBlock([['x-end', 'yes']]);

interface Case {
  readonly name: string;
  readonly fault: string | undefined;
}

const open = new Set<Socket>();
let server: Server;
let cases: readonly Case[];

function answer(socket: Socket): void {
  open.add(socket);
  socket.setNoDelay(true);
  socket.on('close', () => open.delete(socket));
  const connection = createConnection(socket, {
    beginStream: (stream) => ({
      receive(_bytes, isEnd) {
        if (!isEnd) return;
        setTimeout(() => {
          connection.sendHeaders(stream, answerHead);
          connection.sendData(stream, Buffer.from('It works.'));
          connection.end(stream, answerEnd);
        }, answerAfterMs);
      },
      cancelled: () => undefined,
    }),
    limits: { streamWindowBytes: 65_535, maxConcurrentStreams, maxHeaderListBytes: 16_384 },
    onError: rethrow,
  });
}

/** h2spec's own report: a suite for each section, a case for each behaviour. */
function readReport(xml: string): readonly Case[] {
  const found: Case[] = [];
  for (const suite of xml.split('<testsuite ').slice(1)) {
    const section = /package="([^"]*)"/.exec(suite)?.[1];
    for (const one of suite.split('<testcase ').slice(1)) {
      const title = /classname="([^"]*)"/.exec(one)?.[1];
      if (section === undefined || title === undefined) throw new Error(`no case: ${one}`);
      const fault = /<(?:failure|error|skipped)\b[^]*/.exec(one)?.[0];
      found.push({ name: `${section}: ${title}`, fault });
    }
  }
  return found;
}

beforeAll(async () => {
  server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-h2spec-'));
  const report = join(folder, 'report.xml');
  const h2spec = join(partDirectory('h2spec', 'H2SPEC_VERSION'), 'h2spec');
  const args = ['--port', String(port), '--timeout', '1', '--junit-report', report];
  try {
    // It exits with 1 when a case fails: the report says which.
    const printed = await new Promise<string>((resolve) => {
      execFile(h2spec, args, { timeout: 100_000 }, (_error, output) => resolve(output));
    });
    const xml = await readFile(report, 'utf8').catch((cause: unknown) => {
      throw new Error(`h2spec wrote no report: ${printed}`, { cause });
    });
    cases = readReport(xml);
  } finally {
    await rm(folder, { recursive: true });
  }
});

afterAll(async () => {
  for (const socket of open) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

it('runs all of h2spec: its own cases, those of HTTP/2 and those of HPACK', () => {
  expect(cases).toHaveLength(145);
});

it('behaves as RFC 9113 and RFC 7541 say', () => {
  const failed = cases.filter(({ name, fault }) => fault !== undefined && !dropped.includes(name));
  expect(failed).toEqual([]);
});

it.each(dropped)('does not heed a priority: %s', (name) => {
  expect(cases.filter((each) => each.name === name)).toMatchObject([{ fault: expect.any(String) }]);
});
