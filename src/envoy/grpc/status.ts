/** Status codes of gRPC (its doc/statuscodes.md): those that this side says itself, or leaves to a handler to say. */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
} as const;

/** How a call failed. */
export interface GrpcFault {
  readonly code: number;
  readonly details: string;
}

const contentType = 'application/grpc';

/** The headers before a message. */
export const responseHeaders = encodeBlock([
  [':status', '200'],
  ['content-type', contentType],
]);

/** The headers after the last message of a call that went well. */
export const okTrailers = encodeBlock([['grpc-status', String(grpcStatus.ok)]]);

/** The headers after the last message of one that did not. */
export function faultTrailers({ code, details }: GrpcFault): Buffer {
  return encodeBlock(statusFields({ code, details }));
}

/** All there is of an answer without a message ("Trailers-Only"). */
export function onlyTrailers(fault: GrpcFault): Buffer {
  return encodeBlock([[':status', '200'], ['content-type', contentType], ...statusFields(fault)]);
}

/** To a request that is no gRPC. */
export function plainAnswer(httpStatus: number): Buffer {
  return encodeBlock([[':status', String(httpStatus)]]);
}

function statusFields({ code, details }: GrpcFault): readonly (readonly [string, string])[] {
  const status = ['grpc-status', String(code)] as const;
  return details === '' ? [status] : [status, ['grpc-message', percentEncoded(details)]];
}

/** Printable ASCII but for the percent sign stands for itself (gRPC's PROTOCOL-HTTP2, `Percent-Encoded`). */
function percentEncoded(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text.slice(0, 500))) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/**
 * "Literal Header Field without Indexing — New Name" for each (RFC 7541 section 6.2.2), in plain characters: it is understood
 * whatever the tables hold, so that one block serves every connection.
 */
function encodeBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [Buffer.from([0]), encodeText(name), encodeText(value)]),
  );
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  let rest = bytes.length;
  if (rest < 0x7f) {
    length.push(rest);
  } else {
    length.push(0x7f);
    for (rest -= 0x7f; rest >= 0x80; rest = Math.floor(rest / 0x80)) length.push((rest % 0x80) + 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
