import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createConnection } from '../../../src/envoy/http2/connection.ts';
import type { Stream } from '../../../src/envoy/http2/stream.ts';
import { below, type Random } from '../../support/random.ts';
import {
  createFrameSplitter,
  data,
  errorCode,
  frameFlag,
  frameType,
  literalBlock,
  request,
  rethrow,
} from './frames.ts';
import { mutate, record, type Recorded } from './recording.ts';

const head = literalBlock([[':status', '200']]);
const end = literalBlock([['x-end', 'yes']]);
/** The last id there is: it has not been used, but by a mutant. */
const probeId = 2 ** 31 - 1;
const probe = Buffer.concat([
  request(probeId, { fields: [[':path', '/probe']], isEnd: false }),
  data(probeId, Buffer.from('well?'), true),
]);
/** Ends whatever frame the probe fell into, and is none itself. */
const noise = Buffer.alloc(17_000, 0xff);

export interface FuzzCounts {
  /** Connections that answered to the end, and those that were ended. */
  readonly alive: number;
  readonly over: number;
  readonly answered: number;
}

interface Told {
  readonly stream: Stream;
  readonly path: string;
  readonly pieces: Buffer[];
  ends: number;
  cancels: number;
}

/** One connection of a server that echoes path and body of a request, some at once and some later. */
function createEcho(random: Random) {
  const bodies = new Map<number, string>();
  const heads = new Set<number>();
  const ended = new Set<number>();
  const told: Told[] = [];
  const later: (() => void)[] = [];
  /** Codes of GOAWAY and RST_STREAM. */
  const faults: number[] = [];
  let isOver = false;
  const split = createFrameSplitter(({ type, flags, streamId, payload }) => {
    if (type === frameType.goAway) {
      isOver = true;
      faults.push(payload.readUInt32BE(4));
    }
    if (type === frameType.rstStream) faults.push(payload.readUInt32BE(0));
    if (type === frameType.headers) heads.add(streamId);
    if (type === frameType.data)
      bodies.set(streamId, (bodies.get(streamId) ?? '') + payload.toString('latin1'));
    if (type === frameType.headers && (flags & frameFlag.endStream) !== 0) ended.add(streamId);
  });
  const socket = new Duplex({
    read: () => undefined,
    write(bytes: Buffer, _encoding, done) {
      split(Buffer.from(bytes));
      done();
    },
    final(done) {
      isOver = true;
      done();
    },
  });
  const connection = createConnection(socket, {
    beginStream: (stream, { path }) => {
      const one: Told = { stream, path, pieces: [], ends: 0, cancels: 0 };
      told.push(one);
      return {
        receive(bytes, isEnd) {
          if (one.ends + one.cancels > 0) throw new Error('more after the end');
          one.pieces.push(bytes);
          if (!isEnd) return;
          one.ends += 1;
          if (random() < 0.7) answer(one);
          else later.push(() => answer(one));
        },
        cancelled() {
          if (one.cancels > 0) throw new Error('cancelled twice');
          one.cancels += 1;
        },
      };
    },
    limits: { streamWindowBytes: 65_535, maxConcurrentStreams: 100, maxHeaderListBytes: 1000 },
    onError: rethrow,
  });

  function answer({ stream, path, pieces }: Told): void {
    connection.sendHeaders(stream, head);
    connection.sendData(stream, Buffer.from(`${path} ${Buffer.concat(pieces).toString('latin1')}`, 'latin1'));
    connection.end(stream, end);
  }

  return {
    /** As a socket says it: what throws here would end the process. */
    feed: (bytes: Buffer) => void socket.emit('data', bytes),
    answerAll() {
      for (const go of later.splice(0)) go();
    },
    close: () => void socket.emit('close'),
    isOver: () => isOver,
    faults,
    bodies,
    heads,
    ended,
    told,
  };
}

type Echo = ReturnType<typeof createEcho>;

function feedInPieces(random: Random, echo: Echo, bytes: Buffer): void {
  const most = random() < 0.2 ? 8 : 400;
  for (let at = 0; at < bytes.length; ) {
    const to = Math.min(bytes.length, at + 1 + below(random, most));
    echo.feed(bytes.subarray(at, to));
    at = to;
    if (random() < 0.1) echo.answerAll();
  }
}

/** Every stream has ended one way, and what left on it is the beginning of its own echo. */
function assertInOrder({ told, bodies, heads, ended }: Echo): void {
  const known = new Map(told.map((one) => [one.stream.id, one]));
  for (const id of [...heads, ...bodies.keys()]) if (!known.has(id)) throw new Error(`an answer on ${id}`);
  for (const { stream, path, pieces, ends, cancels } of told) {
    if (ends === 0 && cancels === 0) throw new Error(`nobody told the end of ${stream.id}`);
    const whole = `${path} ${Buffer.concat(pieces).toString('latin1')}`;
    const sent = bodies.get(stream.id) ?? '';
    if (ended.has(stream.id) ? sent !== whole : !whole.startsWith(sent))
      throw new Error(`an answer on ${stream.id} that is another's: ${sent}`);
    if (ends === 0 && heads.has(stream.id)) throw new Error('answered before its end');
  }
}

/** Returns whether the connection still answered at the end. */
function runMutant(random: Random, bytes: Buffer): { readonly isAlive: boolean; readonly answered: number } {
  const echo = createEcho(random);
  feedInPieces(random, echo, bytes);
  echo.answerAll();
  if (!echo.isOver()) {
    feedInPieces(random, echo, probe);
    echo.answerAll();
    if (!echo.heads.has(probeId)) echo.feed(noise);
  }
  // Flushes what was answered just now.
  echo.feed(Buffer.alloc(0));
  const isAlive = echo.heads.has(probeId);
  if (!isAlive && !echo.isOver()) throw new Error('neither an answer nor an end');
  echo.close();
  assertInOrder(echo);
  return { isAlive, answered: echo.ended.size };
}

function runAsItIs(random: Random, { frames, echoes }: Recorded): void {
  const echo = createEcho(random);
  feedInPieces(random, echo, Buffer.concat(frames));
  echo.answerAll();
  echo.feed(Buffer.alloc(0));
  const unexpected = echo.faults.filter(
    (code) => code !== errorCode.none && code !== errorCode.refusedStream,
  );
  if (unexpected.length > 0)
    throw new Error(`faults ${unexpected.join()}: ${Buffer.concat(frames).toString('hex')}`);
  for (const [id, text] of echoes) {
    const one = echo.told.find(({ stream }) => stream.id === id);
    const isRefused = one === undefined && echo.isOver();
    const said = `${one?.path} ${Buffer.concat(one?.pieces ?? []).toString()}`;
    if (!isRefused && (said !== text || one?.ends !== 1)) throw new Error(`stream ${id}: ${said}`);
  }
  echo.close();
  assertInOrder(echo);
}

/**
 * Recordings as they are and mutated, in pieces of any size. Throws where a connection throws, hangs, tells of an end twice or
 * never, or answers on another stream than the request's.
 */
export async function fuzzConnection(random: Random, count: number): Promise<FuzzCounts> {
  let alive = 0;
  let answered = 0;
  let recorded: Recorded = { frames: [], echoes: new Map() };
  for (let at = 0; at < count; at += 1) {
    if (at % 10 === 0) {
      recorded = record(random);
      runAsItIs(random, recorded);
    }
    const bytes = mutate(random, recorded.frames);
    try {
      const ran = runMutant(random, bytes);
      alive += ran.isAlive ? 1 : 0;
      answered += ran.answered;
    } catch (error) {
      throw new Error(`stream ${at}: ${bytes.toString('hex')}`, { cause: error });
    }
    // What a connection leaves to the end of its turn.
    if (at % 50 === 0) await nextTurn();
  }
  return { alive, over: count - alive, answered };
}
