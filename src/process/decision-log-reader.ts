import { StringDecoder } from 'node:string_decoder';
import type { LoggedDecision } from '../check/simulate.ts';

/** What a log held besides the decisions that were handed on. */
export interface DecisionLogReading {
  readonly lines: number;
  readonly decisions: number;
  /** Lines of other events. */
  readonly others: number;
  /** Lines that are none of ours, or no decision that can be read. */
  readonly unreadable: number;
  /** The numbers of the first of those, from 1. */
  readonly firstUnreadable: readonly number[];
}

/** A line of ours is cut far below this (log.ts). */
const maxLineLength = 1024 * 1024;
const mostNamed = 5;

/**
 * Reads what `createDecisionLog` writes: a JSON object a line. Whatever else stands there is counted and passed over, since
 * a collector's banner, or a line that was cut off when a pod ended, is no reason to tell nothing of the others.
 */
export async function readDecisionLog(
  chunks: AsyncIterable<Uint8Array>,
  onDecision: (decision: LoggedDecision) => void,
): Promise<DecisionLogReading> {
  const decoder = new StringDecoder('utf8');
  const counts = { lines: 0, decisions: 0, others: 0, unreadable: 0 };
  const firstUnreadable: number[] = [];
  let rest = '';

  function take(line: string): void {
    counts.lines += 1;
    if (line.trim() === '') return;
    const read = readDecisionLine(line);
    if (read === 'other') counts.others += 1;
    else if (read === undefined) {
      counts.unreadable += 1;
      if (firstUnreadable.length < mostNamed) firstUnreadable.push(counts.lines);
    } else {
      counts.decisions += 1;
      onDecision(read);
    }
  }

  for await (const chunk of chunks) {
    const lines = (rest + decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))).split(
      '\n',
    );
    rest = (lines.pop() ?? '').slice(0, maxLineLength);
    for (const line of lines) take(line);
  }
  rest += decoder.end();
  if (rest !== '') take(rest);
  return { ...counts, firstUnreadable };
}

/** undefined: no decision that can be read. */
function readDecisionLine(line: string): LoggedDecision | 'other' | undefined {
  let fields: Readonly<Record<string, unknown>>;
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    fields = parsed as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  const { event, time, decision, reason, subject, tier, model, sample = 1 } = fields;
  if (event !== 'decision') return typeof event === 'string' ? 'other' : undefined;
  const atMs = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  if (Number.isNaN(atMs) || typeof sample !== 'number' || !Number.isSafeInteger(sample) || sample < 1) {
    return undefined;
  }
  if (decision !== 'allowed' && (decision !== 'denied' || typeof reason !== 'string')) return undefined;
  return {
    atMs,
    weight: sample,
    ...(typeof reason === 'string' && decision === 'denied' && { reason }),
    ...(typeof subject === 'string' && { subject }),
    ...(typeof tier === 'string' && { tier }),
    ...(typeof model === 'string' && { model }),
  };
}
