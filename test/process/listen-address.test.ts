import { describe, expect, test } from 'vitest';
import {
  collides,
  formatListenAddress,
  type ListenAddress,
  parseListenAddress,
} from '../../src/process/listen-address.ts';

describe('parseListenAddress', () => {
  const cases: readonly (readonly [text: string, address: ListenAddress])[] = [
    ['0.0.0.0:9090', { kind: 'tcp', host: '0.0.0.0', port: 9090 }],
    ['localhost:0', { kind: 'tcp', host: 'localhost', port: 0 }],
    ['[::]:9090', { kind: 'tcp', host: '::', port: 9090 }],
    ['[fd00::1]:65535', { kind: 'tcp', host: 'fd00::1', port: 65_535 }],
    ['unix:/run/tiergate/grpc.sock', { kind: 'unix', path: '/run/tiergate/grpc.sock' }],
    ['unix:grpc.sock', { kind: 'unix', path: 'grpc.sock' }],
  ];

  test.each(cases)('reads %s, and writes it the same', (text, address) => {
    expect(parseListenAddress(text)).toEqual(address);
    expect(formatListenAddress(address)).toBe(text);
  });

  test("takes gRPC's other form of a socket's path", () => {
    expect(parseListenAddress('unix:///run/a.sock')).toEqual({ kind: 'unix', path: '/run/a.sock' });
  });

  const refused: readonly (readonly [text: string, words: string])[] = [
    ['9090', 'is not an address'],
    [':9090', 'is neither a host name nor an IP address'],
    ['host', 'is not an address'],
    ['host:http', 'is not an address'],
    ['::1:9090', 'is not an address'],
    ['[1.2.3.4]:1', 'is neither a host name nor an IP address'],
    ['1.2.3:1', 'is neither a host name nor an IP address'],
    ['999.0.0.1:1', 'is neither a host name nor an IP address'],
    ['a b:1', 'is neither a host name nor an IP address'],
    ['host:65536', 'is not a port'],
    ['http://host:1', 'is not an address'],
    ['unix:', 'needs the path of a socket'],
    ['unix://host/a', 'needs the path of a socket'],
    ['unix:/run/', 'needs the path of a socket'],
    [`unix:/${'a'.repeat(107)}`, 'is 108 bytes long'],
  ];

  test.each(refused)('refuses %s', (text, words) => {
    expect(() => parseListenAddress(text)).toThrow(RangeError);
    expect(() => parseListenAddress(text)).toThrow(words);
  });
});

describe('collides', () => {
  const cases: readonly (readonly [a: string, b: string, collision: boolean])[] = [
    ['0.0.0.0:1', '0.0.0.0:1', true],
    ['0.0.0.0:1', '127.0.0.1:1', true],
    ['[::]:1', '127.0.0.1:1', true],
    ['127.0.0.1:1', '127.0.0.2:1', false],
    ['0.0.0.0:1', '0.0.0.0:2', false],
    ['0.0.0.0:0', '0.0.0.0:0', false],
    ['unix:/a', 'unix:/a', true],
    ['unix:/a', 'unix:/b', false],
    ['unix:/a', '0.0.0.0:1', false],
  ];

  test.each(cases)('%s and %s: %s', (a, b, collision) => {
    expect(collides(parseListenAddress(a), parseListenAddress(b))).toBe(collision);
    expect(collides(parseListenAddress(b), parseListenAddress(a))).toBe(collision);
  });
});
