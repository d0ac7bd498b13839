import { expect, it } from 'vitest';
import { isDenied } from '../../src/check/outcome.ts';
import { checkDoorProfiles } from '../../src/http/check-door/profiles.ts';
import { createReadRequest } from '../../src/http/check-door/read-request.ts';
import { readRequestHead } from '../../src/http/http1/request-head.ts';
import { heldBytes } from '../support/held-bytes.ts';

it.each([
  ['envoy', 'tiergate-source'],
  ['nginx', 'x-real-ip'],
] as const)('what Check may remember of a request for %s keeps no head in memory', async (name, source) => {
  const readRequest = createReadRequest({
    profile: checkDoorProfiles[name],
    headers: new Set(['x-model']),
    now: Date.now,
    onUntrusted: () => undefined,
  });
  const rest = 'r'.repeat(60_000);
  const kept: (string | undefined)[] = [];
  const before = await heldBytes();
  for (let at = 100; at < 200; at += 1) {
    const path = `/some/namespace/some-model/${at}`;
    const lines = [
      `GET ${path} HTTP/1.1`,
      'host: a',
      'x-original-method: GET',
      `x-original-uri: ${path}`,
      `${source}: 2001:db8:0:0:0:0:0:${at}`,
      `x-model: some-namespace/some-model-${at}`,
      `x-rest: ${rest}`,
    ];
    const bytes = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
    const peer = { isTrusted: true, address: '' };
    const input = readRequest(readRequestHead(bytes, 0, bytes.length), undefined, peer);
    if (isDenied(input)) throw new Error(input.detail);
    kept.push(input.path, input.headers.get('x-model'), input.source);
  }
  expect((await heldBytes()) - before).toBeLessThan(3_000_000);
  expect(new Set(kept).size).toBe(300);
});
