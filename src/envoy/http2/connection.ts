import type { Duplex } from 'node:stream';
import { ConnectionFault } from './connection-fault.ts';
import {
  defaultFrameBytes,
  defaultTableBytes,
  type ErrorCode,
  errorCode,
  type Frame,
  frameFlag,
  frameType,
  hasFlag,
  mostFrameBytes,
  mostWindowBytes,
  pingBytes,
  priorityBytes,
  readWord31,
  setting,
  settingBytes,
  wordBytes,
} from './frame.ts';
import { createFrameReader } from './frame-reader.ts';
import { createFrameWriter } from './frame-writer.ts';
import { HeaderBlockFault } from './header-block.ts';
import { createHeaderFrames } from './header-frames.ts';
import type { BeginStream, Stream } from './stream.ts';
import { createStreams, type StreamLimits } from './streams.ts';

export interface ConnectionLimits extends StreamLimits {
  /** Of the headers of a request, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly maxHeaderListBytes: number;
}

export interface ConnectionOptions {
  readonly beginStream: BeginStream;
  readonly limits: ConnectionLimits;
  /** Told of bugs: what `beginStream` or a receiver threw. Must not throw. */
  readonly onError: (error: unknown) => void;
}

/** Blocks of headers are encoded without the dynamic table. What is sent on a stream that is over is dropped. */
export interface Connection {
  readonly sendHeaders: (stream: Stream, block: Buffer) => void;
  /** Waits for the peer's window if need be. The bytes are copied. */
  readonly sendData: (stream: Stream, bytes: Buffer) => void;
  /** The last headers of the answer, after its data. Every stream has to be ended, also one that was cancelled. */
  readonly end: (stream: Stream, block: Buffer) => void;
  /** The peer may send as much more on that stream. Not needed for one whose last piece has come. */
  readonly consumed: (stream: Stream, bytes: number) => void;
  /** Tells the peer to go elsewhere (RFC 9113 section 6.8); once it knows, ends when all streams have. */
  readonly drain: () => void;
  /** Asks for a sign of life; whatever comes is one. */
  readonly ping: () => void;
  /** Bytes that ever came. */
  readonly bytesRead: () => number;
}

/**
 * The server's side of HTTP/2 (RFC 9113) with prior knowledge or after TLS, for servers whose answers are small and often
 * there at once: no object for a stream but one record, and one write for all answers to what was read at once.
 */
export function createConnection(socket: Duplex, options: ConnectionOptions): Connection {
  const { beginStream, limits, onError } = options;
  let phase: 'opening' | 'open' | 'closing' | 'ended' = 'opening';
  let bytesRead = 0;
  /** By our last GOAWAY: another one may not say more. */
  let toldLastId: number | undefined;
  let drainTimer: NodeJS.Timeout | undefined;
  const writer = createFrameWriter(socket);
  writer.settings([
    [setting.maxConcurrentStreams, limits.maxConcurrentStreams],
    [setting.initialWindowSize, limits.streamWindowBytes],
    [setting.maxHeaderListSize, limits.maxHeaderListBytes],
  ]);
  const streams = createStreams({
    writer,
    beginStream,
    limits,
    onEnded: endIfDone,
    onTooMuch: () => socket.destroy(),
    onError,
  });
  const headerFrames = createHeaderFrames(limits.maxHeaderListBytes, streams.readHeaders);
  const readFrames = createFrameReader({ onFrame: readFrame, isOver: () => phase === 'ended' });

  function read(piece: Buffer): void {
    if (phase === 'ended') return;
    bytesRead += piece.length;
    writer.gather();
    try {
      readFrames(piece);
    } catch (error) {
      if (error instanceof ConnectionFault) fail(error.code);
      else if (error instanceof HeaderBlockFault) fail(errorCode.compression);
      else throw error;
    }
    writer.flush();
  }

  function readFrame(frame: Frame): void {
    const { type, streamId } = frame;
    if (phase === 'opening' && (type !== frameType.settings || hasFlag(frame, frameFlag.ack)))
      throw new ConnectionFault(errorCode.protocol, 'SETTINGS come first');
    const openStreamId = headerFrames.openStreamId();
    if (openStreamId !== undefined && (type !== frameType.continuation || streamId !== openStreamId))
      throw new ConnectionFault(errorCode.protocol, 'a header block goes on until its end');
    // What is not there is of an extension that we do not speak (section 5.5).
    readByType[type]?.(frame);
  }

  const readByType: readonly ((frame: Frame) => void)[] = Object.assign([], {
    [frameType.data]: streams.readData,
    [frameType.headers]: headerFrames.readHeaders,
    [frameType.priority]: readPriority,
    [frameType.rstStream]: readReset,
    [frameType.settings]: readSettings,
    [frameType.pushPromise]: refusePush,
    [frameType.ping]: readPing,
    [frameType.goAway]: readGoAway,
    [frameType.windowUpdate]: readWindowUpdate,
    [frameType.continuation]: headerFrames.readContinuation,
  });

  function readPriority({ streamId, start, end }: Frame): void {
    if (streamId === 0) throw new ConnectionFault(errorCode.protocol, 'PRIORITY of no stream');
    if (end - start === priorityBytes) return;
    if (streamId > streams.lastId())
      throw new ConnectionFault(errorCode.frameSize, 'PRIORITY of a wrong length');
    streams.reset(streamId, errorCode.frameSize);
  }

  function readReset(frame: Frame): void {
    assertLength(frame, wordBytes);
    streams.cancel(frame.streamId);
  }

  function readSettings(frame: Frame): void {
    const { bytes, start, end } = frame;
    assertOfConnection(frame);
    if (hasFlag(frame, frameFlag.ack)) {
      assertLength(frame, 0);
      return;
    }
    if ((end - start) % settingBytes !== 0)
      throw new ConnectionFault(errorCode.frameSize, 'SETTINGS of a wrong length');
    let window: number | undefined;
    for (let at = start; at < end; at += settingBytes) {
      const name = bytes.readUInt16BE(at);
      const value = bytes.readUInt32BE(at + 2);
      assertSetting(name, value);
      if (name === setting.headerTableSize && value < defaultTableBytes) writer.giveUpTable();
      if (name === setting.initialWindowSize) window = value;
    }
    // Once, since all streams have to be told.
    if (window !== undefined) streams.setPeerWindow(window);
    if (phase === 'opening') phase = 'open';
    writer.acknowledgeSettings();
    streams.answers.proceed();
  }

  function readPing(frame: Frame): void {
    const { bytes, start, end } = frame;
    assertOfConnection(frame);
    assertLength(frame, pingBytes);
    if (!hasFlag(frame, frameFlag.ack)) writer.ping(bytes, start, true);
    else if (bytes.compare(drainPing, 0, pingBytes, start, end) === 0) close();
  }

  function readGoAway(frame: Frame): void {
    assertOfConnection(frame);
    if (frame.end - frame.start < 2 * wordBytes)
      throw new ConnectionFault(errorCode.frameSize, 'GOAWAY of a wrong length');
    close();
  }

  function readWindowUpdate(frame: Frame): void {
    assertLength(frame, wordBytes);
    const more = readWord31(frame.bytes, frame.start);
    if (frame.streamId !== 0) streams.widen(frame.streamId, more);
    else if (more === 0) throw new ConnectionFault(errorCode.protocol, 'an update by nothing');
    else streams.answers.widen(more);
  }

  /** Takes no new request. */
  function close(): void {
    clearTimeout(drainTimer);
    if (phase === 'ended' || phase === 'closing') return;
    phase = 'closing';
    streams.refuse();
    toldLastId = streams.lastId();
    writer.goAway(toldLastId, errorCode.none);
    endIfDone();
  }

  function endIfDone(): void {
    if (phase === 'closing' && streams.isIdle()) endSocket();
  }

  function fail(code: ErrorCode): void {
    writer.goAway(toldLastId ?? streams.lastId(), code);
    endSocket();
  }

  function endSocket(): void {
    writer.flush();
    phase = 'ended';
    socket.end();
    streams.cancelAll();
  }

  function lost(): void {
    phase = 'ended';
    socket.destroy();
    streams.cancelAll();
  }

  socket.on('data', read);
  socket.on('end', () => socket.end());
  socket.on('error', lost);
  socket.on('close', lost);

  return {
    sendHeaders(stream, block) {
      if (streams.isOpen(stream)) writer.headers(stream.id, block, false);
    },
    sendData(stream, bytes) {
      if (streams.isOpen(stream)) streams.answers.sendData(stream, bytes);
    },
    end: streams.end,
    consumed: streams.consumed,
    drain() {
      // It was told already.
      if (phase === 'closing' || phase === 'ended') return;
      if (phase === 'opening') {
        close();
        return;
      }
      // Requests may be on their way: they are taken until the answer says that this was heard (section 6.8).
      writer.goAway(mostWindowBytes, errorCode.none);
      writer.ping(drainPing, 0, false);
      drainTimer ??= setTimeout(close, longestDrainPingMs).unref();
    },
    ping: () => writer.ping(lifePing, 0, false),
    bytesRead: () => bytesRead,
  };
}

/** For a peer that answers no PING. */
const longestDrainPingMs = 5_000;
const lifePing = Buffer.from('are you?');
const drainPing = Buffer.from('heard it');

function refusePush(): never {
  throw new ConnectionFault(errorCode.protocol, 'clients do not push');
}

function assertOfConnection({ streamId }: Frame): void {
  if (streamId !== 0) throw new ConnectionFault(errorCode.protocol, 'of the connection, and says a stream');
}

function assertLength({ start, end }: Frame, bytes: number): void {
  if (end - start !== bytes) throw new ConnectionFault(errorCode.frameSize, 'a frame of a wrong length');
}

/** We send no frame that is longer than all take, push nothing, and encode headers without a table. */
function assertSetting(name: number, value: number): void {
  if (name === setting.enablePush && value > 1)
    throw new ConnectionFault(errorCode.protocol, 'neither yes nor no');
  if (name === setting.maxFrameSize && (value < defaultFrameBytes || value > mostFrameBytes))
    throw new ConnectionFault(errorCode.protocol, 'a frame size that may not be');
  if (name === setting.initialWindowSize && value > mostWindowBytes)
    throw new ConnectionFault(errorCode.flowControl, 'a window that is too large');
}
