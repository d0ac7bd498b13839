import type { Socket } from 'node:net';

/** What node:http says of bytes that are no request, or of one that never ends. */
interface ClientError extends Error {
  readonly code?: string;
}

const statusByCode: ReadonlyMap<string, string> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout'],
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large'],
]);

/** Answers in OpenAI's shape even where there is no request to answer, then ends the connection. */
export function answerClientError(error: ClientError, socket: Socket): void {
  // The client is gone, or an answer is half sent: one more would be read as a part of it.
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify({
    error: {
      message: 'The request can not be read.',
      type: 'invalid_request_error',
      param: null,
      code: 'request_invalid',
      reason: 'request_invalid',
    },
  });
  const head = [
    `HTTP/1.1 ${statusByCode.get(error.code ?? '') ?? '400 Bad Request'}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
