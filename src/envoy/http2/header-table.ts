import { defaultTableBytes } from './frame.ts';

/** A header field as it came. Fields of the tables are shared by all requests that refer to them. */
export interface HeaderField {
  readonly name: string;
  readonly value: string;
  readonly kind: FieldKind;
}

/**
 * What a name is to HTTP/2, told once when a field is made: `pseudo` begins with a colon; `forbidden` has no place in a request
 * (RFC 9113 sections 8.2.1 and 8.2.2).
 */
export type FieldKind = 'regular' | 'pseudo' | 'forbidden';

const ofConnections = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

export function createField(name: string, value: string): HeaderField {
  return { name, value, kind: kindOf(name, value) };
}

function kindOf(name: string, value: string): FieldKind {
  if (name.startsWith(':')) return 'pseudo';
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || !isValue(value) || ofConnections.has(name))
    return 'forbidden';
  return name === 'te' && value !== 'trailers' ? 'forbidden' : 'regular';
}

/** Nothing that could end it, and no blank or tab at its ends (RFC 9113 section 8.2.1). */
function isValue(value: string): boolean {
  return (
    !/[\0\r\n]/.test(value) && !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(value.length - 1))
  );
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** What a field counts beyond its characters (RFC 7541 section 4.1). */
const fieldOverheadBytes = 32;

/** RFC 7541 appendix A, from index 1 on. */
const staticFields: readonly HeaderField[] = (
  [
    [':authority'],
    [':method', 'GET', 'POST'],
    [':path', '/', '/index.html'],
    [':scheme', 'http', 'https'],
    [':status', '200', '204', '206', '304', '400', '404', '500'],
    ['accept-charset'],
    ['accept-encoding', 'gzip, deflate'],
    ...[
      'accept-language',
      'accept-ranges',
      'accept',
      'access-control-allow-origin',
      'age',
      'allow',
      'authorization',
      'cache-control',
      'content-disposition',
      'content-encoding',
      'content-language',
      'content-length',
      'content-location',
      'content-range',
      'content-type',
      'cookie',
      'date',
      'etag',
      'expect',
      'expires',
      'from',
      'host',
      'if-match',
      'if-modified-since',
      'if-none-match',
      'if-range',
      'if-unmodified-since',
      'last-modified',
      'link',
      'location',
      'max-forwards',
      'proxy-authenticate',
      'proxy-authorization',
      'range',
      'referer',
      'refresh',
      'retry-after',
      'server',
      'set-cookie',
      'strict-transport-security',
      'transfer-encoding',
      'user-agent',
      'vary',
      'via',
      'www-authenticate',
    ].map((name) => [name]),
  ] satisfies readonly string[][]
).flatMap(([name = '', ...values]) =>
  (values.length === 0 ? [''] : values).map((value) => createField(name, value)),
);

/** The two tables of HPACK in one index space (RFC 7541 section 2.3). */
export interface HeaderTable {
  /** Undefined: nothing stands there. */
  readonly at: (index: number) => HeaderField | undefined;
  readonly add: (field: HeaderField) => void;
  /** Bytes that the encoder wants to use; false where that is more than it may. */
  readonly resize: (bytes: number) => boolean;
}

export function createHeaderTable(): HeaderTable {
  /** Oldest first; those before `first` are gone. */
  let fields: HeaderField[] = [];
  let first = 0;
  let bytes = 0;
  let capacity = defaultTableBytes;

  function evictTo(most: number): void {
    while (bytes > most) {
      bytes -= sizeOf(fields[first] as HeaderField);
      first += 1;
    }
    // Not on every eviction: that would copy the table for each field.
    if (first > fields.length / 2) {
      fields = fields.slice(first);
      first = 0;
    }
  }

  return {
    at(index) {
      if (index <= staticFields.length) return staticFields[index - 1];
      const position = fields.length - (index - staticFields.length);
      return position < first ? undefined : fields[position];
    },
    add(field) {
      const size = sizeOf(field);
      // One that does not fit empties the table, and is no fault (section 4.4).
      evictTo(Math.max(0, capacity - size));
      if (size > capacity) return;
      fields.push(field);
      bytes += size;
    },
    resize(wanted) {
      if (wanted > defaultTableBytes) return false;
      capacity = wanted;
      evictTo(capacity);
      return true;
    },
  };
}

/** As both a table and a limit of a header list count it. */
export function sizeOf({ name, value }: Pick<HeaderField, 'name' | 'value'>): number {
  return name.length + value.length + fieldOverheadBytes;
}
