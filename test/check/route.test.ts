import { describe, expect, it } from 'vitest';
import { isDenied } from '../../src/check/outcome.ts';
import { createReadRoute } from '../../src/check/route.ts';
import { checkInput } from '../support/check-input.ts';

const readRoute = createReadRoute({
  public: ['/maas-api', '/v1/models'],
  identityOnly: ['/whoami'],
  cors: true,
});

function verdict(path: string): string {
  const route = readRoute(checkInput({ path }));
  return typeof route === 'object' && isDenied(route) ? route.reason : route;
}

describe('the route of a request', () => {
  it.each([
    ['/llm/llama/v1/chat/completions', 'model'],
    ['/llm/llama/', 'model'],
    ['/', 'model'],
    ['/v1/models', 'public'],
    ['/v1/models?x=/../y', 'public'],
    ['/v1/models/', 'public'],
    ['/v1/models-x', 'model'],
    ['/maas-api/v1/tokens', 'public'],
    ['/maas-apix', 'model'],
    ['/whoami', 'identity'],
    ['/llm/llama/v1/files/a%20b', 'model'],
    ['/llm/llama/v1/a...b/.well-known/..c', 'model'],
  ])('of %s is %s', (path, expected) => {
    expect(verdict(path)).toBe(expected);
  });

  it.each([
    '/llm/llama/../qwen-large/v1',
    '/llm/llama/..',
    '/llm/./llama/v1',
    '/llm/llama/.',
    '/llm//llama',
    '//llm/llama',
    '/llm/llama//',
    '/llm/llama/%2e%2e/x',
    '/llm/llama/%2E./x',
    '/llm/llama/..%2fx',
    '/llm%2Fllama/v1',
    '/llm/llama%5c..%5cx',
    '/llm/llama\\..\\x',
    '/llm/llama;a=b/v1',
    '/llm/llama/%252e%252e/x',
    '/llm/llama%00/v1',
    '/llm/llama\u0000/v1',
    '/llm/llama\t/v1',
    '/llm/llama /v1',
    '/llm/llama#x',
    '/llm/ll\u00e4ma',
    '/llm/llama/%',
    '/llm/llama/%zz',
    '/v1/models/../../llm/llama',
    '/maas-api/%2e%2e/llm',
    'llm/llama',
    'http://host/llm/llama',
    '*',
    '',
    '?x',
  ])('is refused for %j', (path) => {
    expect(verdict(path)).toBe('path_invalid');
  });

  it('is what the operator says on the route, but not for a hostile path', () => {
    const contextExtensions = { 'tiergate.class': 'public' };
    expect(readRoute(checkInput({ contextExtensions }))).toBe('public');
    expect(readRoute(checkInput({ contextExtensions: { 'tiergate.class': 'identityOnly' } }))).toBe(
      'identity',
    );
    expect(readRoute(checkInput({ contextExtensions, path: '/a/../b' }))).toMatchObject({
      reason: 'path_invalid',
    });
    expect(readRoute(checkInput({ contextExtensions: { 'tiergate.class': 'other' } }))).toBe('model');
  });

  it('lets a CORS preflight pass only where configured, and only a whole one', () => {
    const headers = { origin: 'https://a.example', 'access-control-request-method': 'POST' };
    const preflight = checkInput({ method: 'OPTIONS', headers });
    expect(readRoute(preflight)).toBe('public');
    expect(readRoute(checkInput({ method: 'OPTIONS', headers: { origin: 'x' } }))).toBe('model');
    expect(readRoute(checkInput({ method: 'POST', headers }))).toBe('model');
    expect(createReadRoute({ public: [], identityOnly: [], cors: false })(preflight)).toBe('model');
  });
});
