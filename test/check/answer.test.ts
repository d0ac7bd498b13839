import { describe, expect, it } from 'vitest';
import {
  createRemovedHeaders,
  denialAnswer,
  identityHeaders,
  isForged,
  upstreamHeaders,
} from '../../src/check/answer.ts';
import { type DenialReason, denialStatus } from '../../src/check/denial.ts';
import { type Allowed, denied } from '../../src/check/outcome.ts';

const allowed: Allowed = {
  denied: false,
  kind: 'model',
  subject: 'alice',
  tier: 'premium',
  model: { namespace: 'llm', name: 'llama', id: 'llm/llama' },
  windows: [],
};
const publicPath: Allowed = { denied: false, kind: 'public', windows: [] };
const identityOnly: Allowed = {
  denied: false,
  kind: 'identity',
  subject: 'alice',
  tier: 'free',
  windows: [],
};

describe('what a model is told', () => {
  it('is who asks, in which tier, for which model', () => {
    expect(upstreamHeaders(allowed)).toEqual([
      ['x-tiergate-user', 'alice'],
      ['x-tiergate-tier', 'premium'],
      ['x-tiergate-model', 'llm/llama'],
    ]);
    expect(upstreamHeaders(identityOnly)).toEqual([
      ['x-tiergate-user', 'alice'],
      ['x-tiergate-tier', 'free'],
    ]);
    expect(upstreamHeaders(publicPath)).toEqual([]);
  });

  it('can not be told more by a user name with line breaks', () => {
    const headers = upstreamHeaders({ ...allowed, subject: 'a\r\nx-tiergate-tier: enterprise' });
    expect(headers[0]).toEqual(['x-tiergate-user', 'a%0D%0Ax-tiergate-tier:%20enterprise']);
  });
});

describe('headers to remove', () => {
  const removedHeaders = createRemovedHeaders(['authorization', 'x-api-key']);

  it('are all identity headers that are not overwritten, and the credentials', () => {
    const names = removedHeaders(allowed, []);
    expect(names).toEqual(expect.arrayContaining(['authorization', 'x-api-key', 'x-tiergate-reservation']));
    expect(names).not.toContain('x-tiergate-user');
    expect(names).not.toContain('x-tiergate-tier');
    expect(names).not.toContain('x-tiergate-model');
    expect(names).toEqual(
      expect.arrayContaining(identityHeaders.filter((name) => name.startsWith('x-maas-'))),
    );
  });

  it('hold no name that is overwritten, which would be gone, whatever is known', () => {
    for (const outcome of [allowed, identityOnly, publicPath, { ...allowed, subject: '' }]) {
      const overwritten = upstreamHeaders(outcome).map(([name]) => name);
      const removed = removedHeaders(outcome, [...identityHeaders, 'x-tiergate-new']);
      expect(removed.filter((name) => overwritten.includes(name))).toEqual([]);
      expect([...overwritten, ...removed]).toEqual(
        expect.arrayContaining([...identityHeaders, 'x-tiergate-new']),
      );
      expect(new Set(removed).size).toBe(removed.length);
    }
  });

  it('leave the credentials on public paths, for the issuer behind them', () => {
    const names = removedHeaders(publicPath, ['x-maas-anything']);
    expect(names).not.toContain('authorization');
    expect(names).not.toContain('x-api-key');
    expect(names).toEqual([...identityHeaders, 'x-maas-anything']);
    expect(removedHeaders(identityOnly, [])).toContain('authorization');
  });

  it('are the same array for the same kind of outcome', () => {
    expect(removedHeaders({ ...allowed }, [])).toBe(removedHeaders(allowed, []));
    expect(removedHeaders(identityOnly, [])).not.toBe(removedHeaders(allowed, []));
  });
});

describe('a forged header', () => {
  it.each([
    ['x-tiergate-user', true],
    ['X-Tiergate-Anything', true],
    ['x-maas-group', true],
    ['x_maas_group', true],
    ['x-tiergate_user', true],
    ['x-tiergate', false],
    ['x-maasgroup', false],
    ['tiergate-user', false],
    ['authorization', false],
  ])('%s: %s', (name, is) => {
    expect(isForged(name)).toBe(is);
  });
});

/** What each reason puts into the answer beside its status; complete by its type. */
const challenges: Record<DenialReason, 'bare' | 'invalid_token' | 'retry' | 'limits' | 'none'> = {
  credential_missing: 'bare',
  credential_malformed: 'invalid_token',
  token_expired: 'invalid_token',
  token_rejected: 'invalid_token',
  token_revoked: 'invalid_token',
  wrong_audience: 'invalid_token',
  no_tier: 'none',
  model_forbidden: 'none',
  mint_forbidden: 'none',
  model_unknown: 'none',
  token_unknown: 'none',
  path_invalid: 'none',
  request_invalid: 'none',
  usage_required: 'none',
  body_too_large: 'none',
  too_many_tokens: 'none',
  requests_exceeded: 'limits',
  tokens_exceeded: 'limits',
  concurrency_exceeded: 'limits',
  capacity_exceeded: 'limits',
  throttled: 'limits',
  identity_unavailable: 'retry',
  access_unavailable: 'retry',
  limit_unavailable: 'retry',
  overloaded: 'retry',
  tier_not_provisioned: 'retry',
  internal: 'none',
};

describe('a denial over HTTP', () => {
  const windows = [
    {
      window: { scope: '*', unit: 'requests', windowMs: 120_000, limit: 5, mode: 'enforce' },
      remaining: 0,
      resetAfterMs: 90_000,
      exceeded: true,
    },
  ] as const;

  it.each(Object.entries(challenges) as [DenialReason, string][])(
    'for %s has its status, its shape and: %s',
    (reason, extra) => {
      const { http, type, code } = denialStatus[reason];
      const answer = denialAnswer(denied(reason, 'A sentence.', { retryAfterMs: 1200, windows }), 'tiergate');
      const headers = Object.fromEntries(answer.headers);
      expect(answer.status).toBe(http);
      expect(JSON.parse(answer.body)).toEqual({
        error: { message: 'A sentence.', type, param: null, code, reason },
      });
      expect(headers['content-type']).toBe('application/json');
      expect(headers['x-tiergate-reason']).toBe(reason);
      expect(headers['www-authenticate']).toBe(
        {
          bare: 'Bearer realm="tiergate"',
          invalid_token: 'Bearer realm="tiergate", error="invalid_token"',
        }[extra],
      );
      expect(headers['retry-after']).toBe(extra === 'retry' || extra === 'limits' ? '2' : undefined);
      expect('ratelimit' in headers).toBe(http === 429);
    },
  );

  it('asks to wait for a second at least, and only where a time is known', () => {
    const retryAfter = (retryAfterMs?: number) =>
      Object.fromEntries(
        denialAnswer(denied('requests_exceeded', '', retryAfterMs === undefined ? {} : { retryAfterMs }), 'r')
          .headers,
      )['retry-after'];
    expect(retryAfter(0)).toBe('1');
    expect(retryAfter(-5)).toBe('1');
    expect(retryAfter(1000)).toBe('1');
    expect(retryAfter(1001)).toBe('2');
    expect(retryAfter()).toBeUndefined();
  });

  it('names the field that is at fault where there is one, and never the cause', () => {
    const { body } = denialAnswer(
      denied('request_invalid', 'Wrong.', { cause: new Error('secret') }),
      'tiergate',
      'expiration',
    );
    expect(JSON.parse(body).error.param).toBe('expiration');
    expect(body).not.toContain('secret');
  });

  it('keeps a realm from breaking out of its quotes', () => {
    const { headers } = denialAnswer(denied('credential_missing', ''), 'my "realm"\r\n');
    expect(Object.fromEntries(headers)['www-authenticate']).toBe('Bearer realm="my%20\\"realm\\"%0D%0A"');
  });
});
