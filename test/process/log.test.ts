import { format, inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/dependency-error.ts';
import { createEvents } from '../../src/process/events.ts';
import { createLog, type LogLevel } from '../../src/process/log.ts';
import { createSecret } from '../../src/secret.ts';

function logAt(level: LogLevel) {
  const lines: string[] = [];
  const log = createLog({ level, write: (line) => void lines.push(line), now: () => 1_700_000_000_123 });
  return { log, lines, objects: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('a line', () => {
  test('is one JSON object with time, level and event first', () => {
    const { log, lines } = logAt('info');
    log.info('listening', { listener: 'ops', port: 9091 });
    expect(lines).toEqual([
      '{"time":"2023-11-14T22:13:20.123Z","level":"info","event":"listening","listener":"ops","port":9091}\n',
    ]);
  });

  test('stays one line, whatever the text holds', () => {
    const { log, lines } = logAt('info');
    log.info('said', { words: 'a\nb\r\u2028{"level":"error"}' });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1);
  });

  test('below the level is not written; a record is, whatever the level', () => {
    const { log, objects } = logAt('warn');
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
    log.record('e');
    expect(objects().map(({ event, level }) => [event, level])).toEqual([
      ['c', 'warn'],
      ['d', 'error'],
      ['e', 'info'],
    ]);
  });

  test('does not let a field pass itself off as its time, level or event', () => {
    const { log, objects } = logAt('info');
    log.info('real', { level: 'error', event: 'forged', time: 'never' });
    expect(objects()[0]).toMatchObject({ level: 'info', event: 'real', _event: 'forged', _level: 'error' });
  });
});

describe('a secret', () => {
  const secret = createSecret('eyJ.hunter2.sig');
  const holders: Readonly<Record<string, () => unknown>> = {
    'as a field': () => secret,
    'in a list': () => [secret],
    'deep in an object': () => ({ a: { b: { secret } } }),
    'in a formatted text': () => format('token %s', secret),
    'in a Map': () => new Map([['authorization', 'eyJ.hunter2.sig']]),
    'in bytes': () => Buffer.from('eyJ.hunter2.sig'),
    'in a property of an error': () =>
      Object.assign(new Error('failed'), { config: { headers: { authorization: 'eyJ.hunter2.sig' } } }),
    'in a property of a cause': () =>
      new Error('a', { cause: Object.assign(new Error('b'), { request: 'eyJ.hunter2.sig' }) }),
    'printed by inspect': () => inspect({ secret }),
  };

  test.each(Object.entries(holders))('%s is not printed at any level', (_name, make) => {
    for (const level of ['debug', 'info', 'warn', 'error'] as const) {
      const { log, lines } = logAt(level);
      for (const write of [log.debug, log.info, log.warn, log.error, log.record])
        write('e', { field: make() });
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.join('')).not.toContain('hunter2');
    }
  });
});

describe('an error', () => {
  const error = new DependencyError('redis', 'timeout', {
    cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
  });

  test('shows name, message, code and causes', () => {
    const { log, objects } = logAt('info');
    log.warn('degraded', { error });
    expect(objects()[0]?.['error']).toEqual({
      name: 'DependencyError',
      message: 'redis timeout',
      code: 'timeout',
      cause: { name: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
    });
  });

  test('shows its stack only where it is a bug, or at debug', () => {
    const at = (level: LogLevel, write: 'warn' | 'error') => {
      const { log, lines } = logAt(level);
      log[write]('e', { error });
      return lines.join('').includes('"stack":"');
    };
    expect(at('info', 'warn')).toBe(false);
    expect(at('info', 'error')).toBe(true);
    expect(at('debug', 'warn')).toBe(true);
  });

  test('of many is bounded: causes, joined errors and length', () => {
    let chain = new Error('x'.repeat(100_000));
    for (let depth = 0; depth < 50; depth += 1) chain = new Error('y'.repeat(5000), { cause: chain });
    const { log, lines } = logAt('info');
    log.warn('e', { error: chain });
    log.warn('e', { error: new AggregateError([chain, chain, chain, chain, chain, chain, chain], 'all') });
    for (const line of lines) expect(line.length).toBeLessThan(34_000);
    expect(lines[0]?.match(/"cause"/g)).toHaveLength(4);
  });

  test('that is none is named by its kind', () => {
    const { log, objects } = logAt('info');
    log.warn('e', { error: new Error('a', { cause: { status: 500 } }) });
    expect(objects()[0]?.['error']).toEqual({ name: 'Error', message: 'a', cause: '[object thrown]' });
  });
});

describe('whatever is given', () => {
  const cycle: Record<string, unknown> = { name: 'cycle' };
  cycle['self'] = cycle;
  let deep: unknown = 'bottom';
  for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
  const values: Readonly<Record<string, unknown>> = {
    cycle,
    deep,
    'throwing getter': Object.defineProperty({}, 'boom', { enumerable: true, get: () => expect.fail() }),
    'throwing toJSON': { toJSON: () => expect.fail() },
    bigint: 12n,
    symbol: Symbol('s'),
    function: () => undefined,
    'not a number': Number.NaN,
    'invalid date': new Date(Number.NaN),
    'long text': 'x'.repeat(1_000_000),
    'long list': Array.from({ length: 100_000 }, (_, at) => at),
    'long list of long texts': Array.from({ length: 1000 }, () => 'x'.repeat(10_000)),
    'wide object': Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`key${at}`, at])),
    proxy: new Proxy({}, { ownKeys: () => expect.fail() }),
    'lone surrogate': '\ud800',
    nothing: undefined,
  };

  test.each(Object.entries(values))('%s gives one bounded line and no exception', (_name, value) => {
    const { log, lines } = logAt('info');
    log.info('e', { value, other: 1 });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.length).toBeLessThan(34_000);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', event: 'e' });
  });

  test('a write that throws does not reach the caller', () => {
    const log = createLog({ level: 'info', write: () => expect.fail(), now: () => 0 });
    expect(() => log.error('e')).not.toThrow();
  });
});

test('every event is a fixed word in snake_case with its fields', () => {
  const { log, objects } = logAt('debug');
  const events = createEvents(log);
  for (const tell of Object.values(events) as ((fields: object) => void)[]) tell({ part: 'redis' });
  const words = objects().map(({ event }) => String(event));
  expect(words).toHaveLength(Object.keys(events).length);
  expect(new Set(words).size).toBe(words.length);
  for (const word of words) expect(word).toMatch(/^[a-z]+(_[a-z]+)*$/);
});
