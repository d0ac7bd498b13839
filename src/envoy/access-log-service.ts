import { type sendUnaryData, type ServerReadableStream, status } from '@grpc/grpc-js';
import type { AccessLogEntry } from '../check/access-log-entry.ts';
import { entryFromMessage, isEndOfRequest, type StreamAccessLogsMessage } from './access-log-message.ts';
import type { IsBelieved } from './believed-peers.ts';
import { createEntryQueue } from './entry-queue.ts';
import { loadService } from './load-service.ts';
import type { GrpcService } from './server.ts';

/**
 * `entry`: the end of a request, taken. `passing`: about a request that goes on, ignored. `dropped`: lost, because too
 * many wait. `failed`: lost, because it could not be dealt with. `foreign`: a stream of a peer that is not believed.
 * `broken`: a stream that ended with a message nobody can read.
 */
export type AccessLogEvent = 'entry' | 'passing' | 'dropped' | 'failed' | 'foreign' | 'broken';

export interface AccessLogServiceOptions {
  /**
   * Port: what a request's end means. Must bear repetitions. A promise holds back further entries, once enough are
   * under way. What it throws costs the entry.
   */
  readonly receive: (entry: AccessLogEntry) => void | Promise<void>;
  readonly isBelieved: IsBelieved;
  readonly observe: (event: AccessLogEvent) => void;
  /** Told of what `receive` threw. Must not throw. */
  readonly onError: (error: unknown) => void;
  /**
   * Entries that wait, at most. Default 10 000, some 10 MB. From half of it, streams are not read on, so that Envoy
   * buffers, and drops what its own buffer does not hold; beyond it, entries are dropped here.
   */
  readonly maxQueued?: number;
  /** Entries under way in `receive` at once, at most. Default 256. */
  readonly concurrency?: number;
}

export interface AccessLogService extends GrpcService {
  /** Ends every stream, as new ones from now on; entries that were read are still received. */
  readonly end: () => void;
  /** Resolves when every entry that was read has been received. */
  readonly whenIdle: () => Promise<void>;
  readonly streams: () => number;
  readonly queued: () => number;
}

type Call = ServerReadableStream<StreamAccessLogsMessage, object>;

interface Stream {
  readonly call: Call;
  readonly finish: () => void;
}

/**
 * `envoy.service.accesslog.v3.AccessLogService`: a sink for the entries of Envoy's `http_grpc` access log. Envoy opens a
 * stream for each of its workers, and never ends it; nothing of it is on the way of a request.
 */
export function createAccessLogService(options: AccessLogServiceOptions): AccessLogService {
  const { receive, isBelieved, observe, onError, maxQueued = 10_000, concurrency = 256 } = options;
  const streams = new Set<Stream>();
  let isEnding = false;
  const queue = createEntryQueue<AccessLogEntry>({
    receive,
    maxQueued,
    concurrency,
    onDropped: () => observe('dropped'),
    onError(error) {
      observe('failed');
      onError(error);
    },
  });
  queue.onRoom(() => {
    for (const { call } of streams) call.resume();
  });

  function take(message: StreamAccessLogsMessage): void {
    for (const entry of message.http_logs?.log_entry ?? []) {
      if (isEndOfRequest(entry)) {
        observe('entry');
        queue.offer(entryFromMessage(entry));
      } else observe('passing');
    }
  }

  function streamAccessLogs(call: Call, callback: sendUnaryData<object>): void {
    // A stream that is cut off is no fault: Envoys come and go.
    call.on('error', () => undefined);
    if (!isBelieved(call)) {
      observe('foreign');
      callback({ code: status.PERMISSION_DENIED, details: 'this address may not tell of others' });
      return;
    }
    if (isEnding) {
      callback({ code: status.UNAVAILABLE, details: 'shutting down' });
      return;
    }
    let isOpen = true;
    const stream: Stream = {
      call,
      finish() {
        if (!isOpen) return;
        isOpen = false;
        streams.delete(stream);
        callback(null, {});
      },
    };
    const forget = () => {
      isOpen = false;
      streams.delete(stream);
    };
    streams.add(stream);
    call.on('data', (message: StreamAccessLogsMessage) => {
      take(message);
      if (queue.isCrowded()) call.pause();
    });
    call.on('end', stream.finish);
    call.on('cancelled', forget);
    call.on('error', () => {
      if (isOpen) observe('broken');
      forget();
    });
  }

  return {
    definition: loadService(
      'envoy/service/accesslog/v3/als.proto',
      'envoy.service.accesslog.v3.AccessLogService',
    ),
    implementation: { StreamAccessLogs: streamAccessLogs },
    end() {
      isEnding = true;
      for (const { finish } of streams) finish();
    },
    whenIdle: queue.whenIdle,
    streams: () => streams.size,
    queued: queue.size,
  };
}
