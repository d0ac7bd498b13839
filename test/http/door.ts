import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach } from 'vitest';
import type { CheckInput } from '../../src/check/check-input.ts';
import type { Outcome } from '../../src/check/outcome.ts';
import { checkDoorProfiles } from '../../src/http/check-door/profiles.ts';
import { type CheckDoor, type CheckDoorOptions, createCheckDoor } from '../../src/http/check-door/server.ts';
import { sampleAllowed } from '../envoy/sample.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean();
});

/** To be done when the test that is running has ended; last first. */
function atEnd(clean: () => unknown): void {
  cleanups.push(clean);
}

export interface ServedDoor {
  readonly door: CheckDoor;
  readonly address: string;
  readonly port: number;
  readonly recorded: readonly { readonly outcome: Outcome; readonly input: CheckInput | undefined }[];
  readonly faults: readonly { readonly error: unknown; readonly fault: string }[];
  readonly untrusted: () => number;
}

type ServeOptions = Partial<Omit<CheckDoorOptions, 'profile'>> & {
  readonly profile?: keyof typeof checkDoorProfiles;
};

/** A door on loopback that allows everything; it ends with the test. */
export async function serveDoor({ profile = 'envoy', ...options }: ServeOptions = {}): Promise<ServedDoor> {
  const recorded: ServedDoor['recorded'][number][] = [];
  const faults: ServedDoor['faults'][number][] = [];
  let untrusted = 0;
  const door = createCheckDoor({
    address: '127.0.0.1:0',
    profile: checkDoorProfiles[profile],
    trust: ['127.0.0.0/8'],
    check: () => sampleAllowed,
    headers: [],
    credentialHeaders: ['authorization'],
    realm: 'tiergate',
    recordOutcome: (outcome, input) => recorded.push({ outcome, input }),
    onUntrusted() {
      untrusted += 1;
    },
    onError: (error, fault) => faults.push({ error, fault }),
    ...options,
    tuning: { warmUpRequests: 0, ...options.tuning },
  });
  const address = await door.start();
  atEnd(() => door.stop({ drainDelayMs: 0, graceMs: 0 }));
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  return { door, address, port, recorded, faults, untrusted: () => untrusted };
}

export interface DoorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Asked {
  readonly method?: string;
  readonly path?: string;
  /** Names and values by turns. */
  readonly headers?: readonly string[];
  readonly body?: string;
  /** In place of the port. */
  readonly socketPath?: string;
}

/** One request on a connection of its own. */
export function ask(port: number, asked: Asked = {}): Promise<DoorAnswer> {
  const { method = 'POST', path = '/llm/llama/v1/chat/completions', body = '', socketPath } = asked;
  const where = socketPath === undefined ? { host: '127.0.0.1', port } : { socketPath };
  const headers = [
    'host',
    'maas.example.com',
    'content-length',
    String(body.length),
    ...(asked.headers ?? []),
  ];
  return new Promise((resolve, reject) => {
    request({ ...where, method, path, agent: false, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status = 0, headers: found } = response;
        resolve({ status, headers: found as Record<string, string>, body: text });
      });
    })
      .on('error', reject)
      .end(body);
  });
}

/** Bytes as they are, on one connection; resolves to all that comes back until the door, or the test after 5 s, closes it. */
export function speak(port: number, ...writes: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = connect(port, '127.0.0.1');
    const timer = setTimeout(() => socket.destroy(), 5000);
    socket.setEncoding('latin1').on('data', (chunk: string) => (heard += chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(heard);
    });
    for (const bytes of writes) socket.write(bytes, 'latin1');
  });
}

/** The answers in what came back on one connection, by their lengths. */
export function answersIn(heard: string): readonly DoorAnswer[] {
  const answers: DoorAnswer[] = [];
  let rest = heard;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const [statusLine = '', ...lines] = rest.slice(0, end).split('\r\n');
    if (end < 0) throw new Error(`no answer: ${rest}`);
    const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s).slice(0, 2))) as Record<
      string,
      string
    >;
    // Of Node's own answers, which are empty.
    const isChunked = headers['Transfer-Encoding'] === 'chunked';
    const length = isChunked ? '0\r\n\r\n'.length : Number(headers['content-length'] ?? '0');
    const body = rest.slice(end + 4, end + 4 + length);
    rest = rest.slice(end + 4 + length);
    const status = Number(statusLine.split(' ')[1]);
    if (status !== 100) answers.push({ status, headers, body });
  }
  return answers;
}
