import { ConnectionFault } from './connection-fault.ts';
import { errorCode, type Frame, frameFlag, hasFlag, priorityBytes } from './frame.ts';
import { createReadHeaderBlock, type HeaderList } from './header-block.ts';

/** A request's headers, or its trailers. The list is used for others again. */
export type OnHeaders = (streamId: number, isEnd: boolean, list: HeaderList) => void;

/** HEADERS and the CONTINUATIONs behind it (RFC 9113 sections 6.2 and 6.10) as one block. Both throw ConnectionFault. */
export interface HeaderFrames {
  readonly readHeaders: (frame: Frame) => void;
  readonly readContinuation: (frame: Frame) => void;
  /** The stream whose block goes on, between which nothing else may come; undefined: none does. */
  readonly openStreamId: () => number | undefined;
}

interface OpenBlock {
  readonly streamId: number;
  readonly isEnd: boolean;
  readonly parts: Buffer[];
  bytes: number;
}

/** Of one block, in whatever number of frames; empty ones cost us something too. */
const mostBlockBytes = 64 * 1024;
const mostBlockParts = 16;

export function createHeaderFrames(maxListBytes: number, onHeaders: OnHeaders): HeaderFrames {
  const readHeaderBlock = createReadHeaderBlock(maxListBytes);
  let open: OpenBlock | undefined;

  function add(to: OpenBlock, part: Buffer): void {
    to.bytes += part.length;
    if (to.bytes > mostBlockBytes || to.parts.length >= mostBlockParts)
      throw new ConnectionFault(errorCode.enhanceYourCalm, 'a header block without end');
    to.parts.push(part);
  }

  return {
    readHeaders(frame) {
      const { streamId, bytes } = frame;
      const [from, to] = withoutPadding(frame);
      // A priority is not heeded (section 5.3.2).
      const at = hasFlag(frame, frameFlag.priority) ? from + priorityBytes : from;
      if (at > to) throw new ConnectionFault(errorCode.frameSize, 'no room for a priority');
      const isEnd = hasFlag(frame, frameFlag.endStream);
      if (hasFlag(frame, frameFlag.endHeaders)) {
        onHeaders(streamId, isEnd, readHeaderBlock(bytes, at, to));
        return;
      }
      open = { streamId, isEnd, parts: [], bytes: 0 };
      add(open, bytes.subarray(at, to));
    },
    readContinuation(frame) {
      if (open === undefined) throw new ConnectionFault(errorCode.protocol, 'nothing is to be continued');
      add(open, frame.bytes.subarray(frame.start, frame.end));
      if (!hasFlag(frame, frameFlag.endHeaders)) return;
      const { streamId, isEnd, parts } = open;
      open = undefined;
      const block = Buffer.concat(parts);
      onHeaders(streamId, isEnd, readHeaderBlock(block, 0, block.length));
    },
    openStreamId: () => open?.streamId,
  };
}

/** From where to where; the length of the padding stands first (section 6.1). */
export function withoutPadding(frame: Frame): readonly [from: number, to: number] {
  const { bytes, start, end } = frame;
  if (!hasFlag(frame, frameFlag.padded)) return [start, end];
  const padding = start < end ? (bytes[start] as number) : Number.POSITIVE_INFINITY;
  if (padding >= end - start) throw new ConnectionFault(errorCode.protocol, 'more padding than frame');
  return [start + 1, end - padding];
}
