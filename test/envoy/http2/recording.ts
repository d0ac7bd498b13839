import { below, oneOf, type Random } from '../../support/random.ts';
import {
  clientPreface,
  data,
  frame,
  frameFlag,
  frameType,
  integer,
  ping,
  rstStream,
  setting,
  settings,
  windowUpdate,
  word,
} from './frames.ts';
import { huffmanBits, packBits } from './huffman-codes.ts';

/** What a client says on one connection: its preface, then frames. */
type Recording = readonly Buffer[];

export interface Recorded {
  readonly frames: Recording;
  /** By stream: what the echo has to be. */
  readonly echoes: ReadonlyMap<number, string>;
}

/** A conversation that breaks no rule, in all the ways in which it may be said. */
export function record(random: Random): Recorded {
  const frames: Buffer[] = [clientPreface, settings([[setting.maxFrameSize, 16_384 + below(random, 1000)]])];
  const echoes = new Map<number, string>();
  const encode = createEncoder(random);
  let id = 1;
  for (let count = 1 + below(random, 4); count > 0; count -= 1) {
    const path = `/${'abcdefgh'.slice(below(random, 8))}${id}`;
    const body = random() < 0.5 ? '' : 'body '.repeat(below(random, 30));
    pushRequest(random, frames, { id, body, block: encode(path) });
    echoes.set(id, `${path} ${body}`);
    if (random() < 0.5) frames.push(interlude(random, id));
    if (random() < 0.1) {
      frames.push(rstStream(id));
      echoes.delete(id);
    }
    id += 2 * (1 + below(random, 3));
  }
  return { frames, echoes };
}

interface Text {
  readonly id: number;
  readonly body: string;
  readonly block: Buffer;
}

function pushRequest(random: Random, frames: Buffer[], { id: streamId, body, block }: Text): void {
  const isEnd = body === '' && random() < 0.7;
  const cuts = random() < 0.3 ? [below(random, block.length), block.length] : [block.length];
  let from = 0;
  for (const [at, to] of cuts.entries()) {
    const payload = block.subarray(from, to);
    const flags = to === block.length && at === cuts.length - 1 ? frameFlag.endHeaders : 0;
    if (at > 0) frames.push(frame({ type: frameType.continuation, flags, streamId, payload }));
    else
      frames.push(headers(random, { flags: flags | (isEnd ? frameFlag.endStream : 0), streamId, payload }));
    from = to;
  }
  if (isEnd) return;
  const bytes = Buffer.from(body);
  const cut = below(random, bytes.length + 1);
  if (random() < 0.5) frames.push(data(streamId, bytes.subarray(0, cut)));
  else frames.push(padded(random, { type: frameType.data, streamId, payload: bytes.subarray(0, cut) }));
  if (random() < 0.2) frames.push(interlude(random, streamId));
  if (random() < 0.8) frames.push(data(streamId, bytes.subarray(cut), true));
  else {
    const payload = Buffer.from('0009782d747261696c65720131', 'hex');
    frames.push(
      data(streamId, bytes.subarray(cut)),
      frame({ type: frameType.headers, flags: 5, streamId, payload }),
    );
  }
}

interface Part {
  readonly type?: number;
  readonly flags?: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

function headers(random: Random, { flags = 0, streamId, payload }: Part): Buffer {
  const type = frameType.headers;
  const how = random();
  if (how < 0.6) return frame({ type, flags, streamId, payload });
  if (how < 0.8) return padded(random, { type, flags, streamId, payload });
  const priority = Buffer.concat([word(0), Buffer.of(7)]);
  return frame({
    type,
    flags: flags | frameFlag.priority,
    streamId,
    payload: Buffer.concat([priority, payload]),
  });
}

function padded(random: Random, { type = 0, flags = 0, streamId, payload }: Part): Buffer {
  const padding = Buffer.alloc(below(random, 20));
  return frame({
    type,
    flags: flags | frameFlag.padded,
    streamId,
    payload: Buffer.concat([Buffer.of(padding.length), payload, padding]),
  });
}

/** A frame that may stand anywhere between others. */
function interlude(random: Random, streamId: number): Buffer {
  return oneOf(random, [
    () => ping('12345678'),
    () => ping('heard it', frameFlag.ack),
    () => settings([[setting.initialWindowSize, below(random, 100)]]),
    () => settings([[setting.initialWindowSize, 65_535]]),
    () => windowUpdate(0, 1 + below(random, 1000)),
    () => windowUpdate(streamId, 1 + below(random, 1000)),
    () => frame({ type: frameType.priority, streamId, payload: Buffer.alloc(5) }),
    () => frame({ type: 0x42, flags: 0xff, streamId, payload: Buffer.alloc(7) }),
  ])();
}

/** Blocks with fields of all representations, some of which later ones refer to. */
function createEncoder(random: Random): (path: string) => Buffer {
  let kept = 0;
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    if (random() < 0.5) return Buffer.concat([integer(bytes.length, 7), bytes]);
    const coded = packBits(huffmanBits(bytes));
    return Buffer.concat([integer(coded.length, 7, 0x80), coded]);
  };
  return (path) => {
    const fields: Buffer[] = [];
    if (random() < 0.1) {
      // The table emptied and as large as before, which only the beginning of a block may say.
      fields.push(Buffer.from('203fe11f', 'hex'));
      kept = 0;
    }
    fields.push(
      // :method POST, :scheme http, :path as a literal with an indexed name.
      Buffer.of(0x83, 0x86),
      Buffer.concat([Buffer.of(oneOf(random, [0x04, 0x14])), text(path)]),
    );
    if (kept > 0 && random() < 0.5) fields.push(integer(62 + below(random, kept), 7, 0x80));
    for (let count = below(random, 3); count > 0; count -= 1) {
      kept += 1;
      fields.push(Buffer.concat([Buffer.of(0x40), text(`x-${kept}`), text('v'.repeat(below(random, 40)))]));
    }
    return Buffer.concat(fields);
  };
}

/** Frames swapped, said twice or left out; then bytes flipped, cut out, doubled and put in. */
export function mutate(random: Random, frames: Recording): Buffer {
  const order = [...frames];
  if (random() < 0.5) {
    const [one, other] = [below(random, order.length), below(random, order.length)];
    const [first, second] = [order[one] as Buffer, order[other] as Buffer];
    const how = random();
    if (how < 0.4) [order[one], order[other]] = [second, first];
    else if (how < 0.7) order.splice(one, 0, second);
    else order.splice(one, 1);
  }
  let bytes: Buffer = Buffer.concat(order);
  for (let times = below(random, 3); times > 0; times -= 1) {
    // Mostly behind the preface, without which there is little to see.
    const at = below(random, bytes.length - 24) + (random() < 0.95 ? 24 : 0);
    const to = Math.min(bytes.length, at + below(random, 30));
    const [before, part, after] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)];
    const how = random();
    if (how < 0.5 && at < bytes.length) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << below(random, 8)), at);
    else if (how < 0.6) bytes = Buffer.from(before);
    else if (how < 0.75) bytes = Buffer.concat([before, after]);
    else if (how < 0.9) bytes = Buffer.concat([before, part, part, after]);
    else bytes = Buffer.concat([before, Buffer.alloc(below(random, 50), below(random, 256)), part, after]);
    if (bytes.length <= 24) break;
  }
  return bytes;
}
