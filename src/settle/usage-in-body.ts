import { StringDecoder } from 'node:string_decoder';
import { type Usage, usageFromCounts, type UsageName, usageNames } from './usage.ts';

/** An answer as it comes in; whatever is in it, nothing is thrown. */
export interface UsageReader {
  readonly write: (chunk: Uint8Array) => void;
  /** What the answer has told so far; of JSON nothing before its end. */
  readonly usage: () => Usage | undefined;
  readonly heldBytes: () => number;
}

export interface AnswerHead {
  /** Header values; undefined where there is none. */
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
}

export interface UsageReaderOptions {
  /**
   * Bytes of one answer that are held, at most; by default 1 MiB. A JSON answer that is longer tells no usage, and an event
   * that is longer is passed over. The last event of OpenAI's Responses holds the whole answer.
   */
  readonly maxBytes?: number;
}

const defaultMaxBytes = 1024 * 1024;

/** Finds usage in server-sent events and in JSON; undefined for answers that can be neither, compressed ones among them. */
export function createUsageReader(
  { contentType, contentEncoding = 'identity' }: AnswerHead,
  { maxBytes = defaultMaxBytes }: UsageReaderOptions = {},
): UsageReader | undefined {
  if (contentEncoding.trim().toLowerCase() !== 'identity') return undefined;
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type === 'text/event-stream') return createEventsReader(maxBytes);
  return type === 'application/json' || type.endsWith('+json') ? createJsonReader(maxBytes) : undefined;
}

function createJsonReader(maxBytes: number): UsageReader {
  /** Copied: a chunk is a view into a message, and may be a byte of it. At most twice as long as what is in it. */
  let held = Buffer.alloc(0);
  let bytes = 0;
  return {
    write(chunk) {
      const end = bytes + chunk.length;
      if (end > maxBytes) held = Buffer.alloc(0);
      else {
        if (end > held.length) held = enlarged(held, Math.min(maxBytes, 2 * end));
        held.set(chunk, bytes);
      }
      bytes = end;
    },
    usage() {
      if (bytes > maxBytes) return undefined;
      const counts = createCounts();
      counts.takeAnswer(held.toString('utf8', 0, bytes));
      return counts.usage();
    },
    heldBytes: () => (bytes > maxBytes ? 0 : bytes),
  };
}

function enlarged(buffer: Buffer, length: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafeSlow(length);
  buffer.copy(larger);
  return larger;
}

/** WHATWG HTML, server-sent events; lines end in LF or CR LF, as every model server's do. */
function createEventsReader(maxBytes: number): UsageReader {
  const decoder = new StringDecoder('utf8');
  const counts = createCounts();
  /** The line that has not ended yet, and how much of it is known to hold no end. */
  let rest = '';
  let searched = 0;
  /** The data of the event that has not ended yet; undefined while it is passed over. */
  let data: string | undefined = '';

  function takeLine(line: string): void {
    if (line === '') {
      if (data !== undefined) counts.takeEvent(data);
      data = '';
    } else if (data !== undefined && line.startsWith('data:')) {
      data += `${line.slice(line.charAt(5) === ' ' ? 6 : 5)}\n`;
      if (data.length > maxBytes) data = undefined;
    }
  }

  return {
    write(chunk) {
      rest += decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
      let start = 0;
      for (let end = rest.indexOf('\n', searched); end !== -1; end = rest.indexOf('\n', start)) {
        takeLine(rest.slice(start, rest.charAt(end - 1) === '\r' ? end - 1 : end));
        start = end + 1;
      }
      rest = rest.slice(start);
      if (rest.length > maxBytes) {
        // What follows belongs to a line that has lost its beginning, whose name is no field's.
        rest = ':';
        data = undefined;
      }
      searched = rest.length;
    },
    usage: counts.usage,
    heldBytes: () => rest.length + (data?.length ?? 0),
  };
}

/** Counts of one answer: each name's last one holds, since continuous usage grows, and Anthropic's comes in two events. */
function createCounts() {
  const counts = new Map<UsageName, number>();
  let hasSeveralAnswers = false;

  function takeUsage(usage: unknown, isBeginning = false): void {
    if (!isFields(usage)) return;
    for (const name of usageNames) {
      const value = usage[name];
      // What was put out when the answer began says nothing of its end, which may never be told.
      if (isBeginning && name === 'output_tokens') continue;
      if (typeof value === 'number' && value >= 0) counts.set(name, value);
    }
  }

  return {
    takeAnswer(text: string): void {
      const answer = parseJson(text);
      if (isFields(answer)) takeUsage(answer['usage']);
    },
    takeEvent(text: string): void {
      // Nearly every event holds a word of the answer and nothing else: not worth parsing.
      if (!text.includes('"usage"')) return;
      const event = parseJson(text);
      if (!isFields(event)) return;
      const { usage, response, message, choices } = event;
      // Continuous usage is that of the answer it comes with; the last event is of none, and tells of all.
      const ofAnswers = Array.isArray(choices) ? choices.filter(isFields) : [];
      hasSeveralAnswers ||= ofAnswers.some(({ index }) => typeof index === 'number' && index > 0);
      if (hasSeveralAnswers && ofAnswers.length > 0) counts.clear();
      else takeUsage(usage);
      if (isFields(response)) takeUsage(response['usage']);
      if (isFields(message)) takeUsage(message['usage'], true);
    },
    usage: () => usageFromCounts((name) => counts.get(name)),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
