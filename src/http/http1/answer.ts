/** An HTTP response, ready to be written: ASCII, with nothing in it that could end a line too early. */
export interface Answer {
  readonly status: number;
  /** Lines of `fieldLine`, among them `content-length`; nothing of the connection. */
  readonly headers: string;
  /** To a HEAD it is left out. */
  readonly body: string;
}

const fieldValue = /^[\t\x20-\x7e]*$/;

/** A header line with its end (RFC 9112 section 5). The name is ours. Throws TypeError where the value can be none. */
export function headerLine(name: string, value: string): string {
  if (!fieldValue.test(value))
    throw Object.assign(new TypeError(`${name} can not hold such a value`), { code: 'ERR_INVALID_CHAR' });
  return `${name}: ${value}\r\n`;
}

/** RFC 9110 section 15. */
const phrases: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  413: 'Content Too Large',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** The line that an answer begins with (RFC 9112 section 4), with its end. The phrase means nothing, and may be empty. */
export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${phrases[status] ?? ''}\r\n`;
}
