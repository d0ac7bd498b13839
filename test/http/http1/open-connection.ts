import type { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Answer } from '../../../src/http/http1/answer.ts';
import { type Connection, createConnection } from '../../../src/http/http1/connection.ts';
import type { Exchange } from '../../../src/http/http1/exchange.ts';
import { createSocketPair } from '../../support/socket-pair.ts';

/** A request as the server under test was told of it. */
export interface Asked {
  readonly exchange: Exchange;
  readonly answer: (body?: string) => void;
}

export interface OpenConnection {
  readonly connection: Connection;
  /** The client's end. */
  readonly client: Duplex;
  readonly send: (...pieces: readonly (Buffer | string)[]) => Promise<void>;
  /** All that came back. */
  readonly heard: () => string;
  /** Bodies of the answers that came back, or their status where they have none. */
  readonly answers: () => readonly string[];
  readonly asked: readonly Asked[];
  /** `METHOD target` of each request, and its body. */
  readonly requests: () => readonly string[];
  readonly bugs: readonly unknown[];
  readonly hasEnded: () => boolean;
  /** Lets so many ticks pass, as the server's timer does. */
  readonly pass: (ticks: number) => Promise<void>;
  readonly leave: () => void;
  /** Writes that came back. */
  readonly writes: () => number;
}

export interface OpenOptions {
  readonly maxHeaderBytes?: number;
  readonly maxBodyBytes?: number;
  readonly wantsBody?: boolean;
  /** Of both ends. Default: Node's. */
  readonly writableHighWaterMark?: number;
  /** Default: answered at once, with its target. */
  readonly onRequest?: (asked: Asked) => void;
}

/** In ticks. */
export const times = { head: 10, body: 15, idle: 100, unread: 15, ended: 2 } as const;

/** Long enough for everything in memory to arrive. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 5; turns += 1) await nextTurn();
}

export function textAnswer(body: string, status = 200): Answer {
  return { status, headers: `content-length: ${body.length}\r\n`, body };
}

/** The server's side of a connection in memory, and the client's in text. */
export function openConnection(options: OpenOptions = {}): OpenConnection {
  const { maxHeaderBytes = 65_536, maxBodyBytes = 100_000, wantsBody = true } = options;
  const { onRequest = ({ exchange, answer }) => answer(exchange.head.target) } = options;
  const [server, client] = createSocketPair(options.writableHighWaterMark);
  const asked: Asked[] = [];
  const bugs: unknown[] = [];
  let heard = '';
  let writes = 0;
  let hasEnded = false;
  let ticks = 0;
  let isLeaving = false;
  client.on('data', (bytes: Buffer) => {
    heard += bytes.toString('latin1');
    writes += 1;
  });
  for (const event of ['end', 'close']) {
    client.on(event, () => {
      hasEnded = true;
    });
  }
  client.on('error', () => undefined);
  const connection = createConnection(
    server,
    (answer) => ({
      wantsBody: () => wantsBody,
      receive(exchange) {
        const one: Asked = { exchange, answer: (body = '') => answer(exchange, textAnswer(body)) };
        asked.push(one);
        onRequest(one);
      },
    }),
    {
      limits: { maxHeaderBytes, maxBodyBytes },
      times,
      tick: () => ticks,
      isLeaving: () => isLeaving,
      refusal: (status) => textAnswer('refused', status),
      onError: (error) => bugs.push(error),
    },
  );
  return {
    connection,
    client,
    async send(...pieces) {
      for (const piece of pieces) {
        client.write(piece, 'latin1');
        if (pieces.length > 1) await nextTurn();
      }
      await settled();
    },
    heard: () => heard,
    answers: () => answersIn(heard),
    asked,
    requests: () =>
      asked.map(({ exchange: { head, body } }) =>
        `${head.method} ${head.target} ${body?.toString('latin1') ?? ''}`.trimEnd(),
      ),
    bugs,
    hasEnded: () => hasEnded,
    async pass(count) {
      for (let passed = 0; passed < count; passed += 1) {
        ticks += 1;
        connection.look();
      }
      await settled();
    },
    leave() {
      isLeaving = true;
    },
    writes: () => writes,
  };
}

function answersIn(heard: string): readonly string[] {
  const found: string[] = [];
  let rest = heard;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    const [, status = ''] = /^HTTP\/1\.1 (\d{3}) /.exec(rest) ?? [];
    if (end < 0 || status === '') throw new Error(`no answer: ${rest}`);
    const length = Number(/content-length: (\d+)/.exec(rest.slice(0, end))?.[1] ?? 0);
    const body = rest.slice(end + 4, end + 4 + length);
    found.push(status === '200' && body !== '' ? body : status);
    rest = rest.slice(end + 4 + length);
  }
  return found;
}

export const get = (target: string, headers = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
export const post = (target: string, headers: string, body: string) =>
  `POST ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;
