import { types } from 'node:util';

/** Bounds of what one line may hold. Nothing a client sends can make a line longer. */
const maxTextLength = 1024;
const maxEntries = 100;
const maxDepth = 6;
const maxCauses = 5;

/** What `JSON.stringify` takes as it is. */
export type LogValue =
  | string
  | number
  | boolean
  | null
  | readonly LogValue[]
  | { readonly [key: string]: LogValue | undefined };

/**
 * Anything → plain, bounded, without cycles. Never throws. A Secret stays `[secret]`; of what could hold one
 * unseen (bytes, Maps, functions) only the kind is shown. `withStack` adds the stacks of errors.
 */
export function logValue(value: unknown, withStack: boolean, depth = 0): LogValue | undefined {
  if (value === null || value === undefined || typeof value === 'boolean') return value;
  if (typeof value === 'string') return cut(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object') return `[${typeof value}]`;
  if (depth >= maxDepth) return '[deeper]';
  try {
    return objectValue(value, withStack, depth);
  } catch {
    return '[unreadable]';
  }
}

function objectValue(value: object, withStack: boolean, depth: number): LogValue | undefined {
  if (types.isNativeError(value) || value instanceof Error) return errorValue(value, withStack, 1);
  if (Array.isArray(value)) {
    const entries = value.slice(0, maxEntries).map((entry) => logValue(entry, withStack, depth + 1) ?? null);
    return value.length > maxEntries ? [...entries, `[${value.length - maxEntries} more]`] : entries;
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    return logValue(value.toJSON(), withStack, depth + 1);
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return `[${value.constructor.name}]`;
  const pairs = Object.entries(value).slice(0, maxEntries);
  return Object.fromEntries(pairs.map(([key, entry]) => [cut(key), logValue(entry, withStack, depth + 1)]));
}

/**
 * Name, message, code and causes. Other properties are left out on purpose: errors of HTTP and Redis clients
 * carry whole requests, and with them tokens.
 */
function errorValue(error: unknown, withStack: boolean, depth = 1): LogValue {
  if (!(error instanceof Error) && !types.isNativeError(error)) {
    return typeof error === 'string' ? cut(error) : `[${typeof error} thrown]`;
  }
  const { code } = error as { readonly code?: unknown };
  const isCode = typeof code === 'string' || typeof code === 'number';
  const inner = depth < maxCauses;
  return {
    name: cut(error.name),
    message: cut(error.message),
    ...(isCode && { code: typeof code === 'string' ? cut(code) : code }),
    ...(withStack && error.stack !== undefined && { stack: error.stack.slice(0, 4 * maxTextLength) }),
    ...(inner && error.cause !== undefined && { cause: errorValue(error.cause, withStack, depth + 1) }),
    ...(inner &&
      error instanceof AggregateError && {
        errors: error.errors.slice(0, maxCauses).map((each) => errorValue(each, withStack, depth + 1)),
      }),
  };
}

function cut(text: string): string {
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}…`;
}
