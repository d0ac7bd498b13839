// One process that sends requests to a gateway on loopback, run by load.ts. Argument: JSON. It ends after `forMs`, or
// when its standard input does, and prints one JSON line: what was answered, and how long each answer took.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { port, source, forMs, atOnce, perSecond, tokensFile, from = 0, garbage } = JSON.parse(process.argv[2]);

const tokens = tokensFile === undefined ? [] : JSON.parse(readFileSync(tokensFile, 'utf8'));
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const answers = {};
const tookMs = [];
let sent = 0;
let inFlight = 0;
const over = new AbortController();

const encoded = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');

/** One after the other of those in the file; of garbage a new one each time, that nobody can have seen before. */
function nextToken() {
  if (garbage === undefined) return tokens[(from + sent) % tokens.length];
  const { header, claims, signature } = garbage;
  return `${header}.${encoded({ ...claims, jti: randomUUID() })}.${signature}`;
}

function ask(token) {
  const startedAtMs = performance.now();
  sent += 1;
  inFlight += 1;
  return new Promise((resolve) => {
    const done = (word) => {
      inFlight -= 1;
      answers[word] = (answers[word] ?? 0) + 1;
      tookMs.push(Math.round((performance.now() - startedAtMs) * 1000) / 1000);
      resolve();
    };
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        localAddress: source,
        agent,
        path: '/llm/llama/v1/models',
        headers: { authorization: `Bearer ${token}` },
      },
      (answer) => {
        answer.resume();
        answer.once('error', (error) => done(`broken ${error.code}`));
        answer.once('end', () =>
          done(`${answer.statusCode} ${answer.headers['x-tiergate-reason'] ?? ''}`.trim()),
        );
      },
    );
    outgoing.once('error', (error) => done(`failed ${error.code}`));
    outgoing.end();
  });
}

async function keepAsking() {
  while (!over.signal.aborted) await ask(nextToken());
}

/** A machine that can not keep up is asked less, and `sent` says so: a queue without end would measure itself. */
async function askInTime() {
  const pending = [];
  while (!over.signal.aborted) {
    const due = ((performance.now() - startedAtMs) / 1000) * perSecond;
    while (sent < due && inFlight < atOnce) pending.push(ask(nextToken()));
    await sleep(1);
  }
  await Promise.all(pending);
}

const startedAtMs = performance.now();
setTimeout(() => over.abort(), forMs).unref();
process.stdin.once('end', () => over.abort()).resume();
if (perSecond === undefined) await Promise.all(Array.from({ length: atOnce }, keepAsking));
else await askInTime();
const seconds = (performance.now() - startedAtMs) / 1000;
process.stdout.write(JSON.stringify({ sent, seconds, answers, tookMs }), () => process.exit(0));
