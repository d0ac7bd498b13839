import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/sandbox/kubernetes-api/faults.ts';
import { leaks } from './leaks.ts';
import { startTwoPrograms, type TwoPrograms } from './two-programs.ts';

const faults: readonly Fault[] = [
  { resource: '*', mode: 'status', code: 500 },
  { resource: '*', mode: 'status', code: 429, retryAfterSeconds: 1 },
  { resource: '*', mode: 'status', code: 401 },
  { resource: '*', mode: 'garbage' },
  { resource: '*', mode: 'half-body' },
  { resource: '*', mode: 'cut' },
  { resource: 'tokenreviews', mode: 'hang' },
];

describe('tokens', () => {
  let programs: TwoPrograms;
  /** Every token that was sent anywhere, good or bad. */
  const sent = new Set<string>();
  /** Answers to those who were refused. */
  const refusals: string[] = [];
  const reasons = new Set<string>();

  const issueToken = async (minutes?: number): Promise<string> => {
    const token = await programs.issueToken(minutes);
    sent.add(token);
    return token;
  };

  async function ask(headers: Readonly<Record<string, string>>, path = '/llm/llama/v1/chat/completions') {
    const answer = await programs.check.ask(
      { id: String(Math.random()), method: 'POST', path, host: 'gateway', source: '10.0.0.1', headers },
      5_000,
    );
    if (!answer.allowed) {
      refusals.push(JSON.stringify(answer));
      reasons.add(String(answer.headers.find(([name]) => name === 'x-tiergate-reason')?.[1]));
    }
    return answer;
  }

  /** To the token API; a body of success holds the token that was asked for, any other is kept. */
  async function call(path: string, init: RequestInit): Promise<string> {
    const answer = await fetch(`${programs.issuerUrl}${path}`, init);
    const body = await answer.text();
    if (!answer.ok) refusals.push(JSON.stringify([...answer.headers]), body);
    return body;
  }

  const mint = (headers: Readonly<Record<string, string>>, body = '{}') =>
    call('/v1/tokens', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    });

  /** A signed token in every place where one may stand, and where none should. */
  async function sendEverywhere(token: string): Promise<void> {
    const forged = `${token.slice(0, -40)}${token.slice(-20)}${token.slice(-40, -20)}`;
    sent.add(forged);
    await Promise.all([
      ask({ authorization: `Bearer ${token}` }),
      ask({ 'x-api-key': token }),
      ask({ authorization: `Bearer ${token}`, 'x-api-key': forged }),
      ask({ authorization: `Basic ${token}` }),
      ask({ authorization: token }),
      ask({ authorization: `Bearer ${token},Bearer ${forged}` }),
      ask({ authorization: `Bearer ${token} ${forged}` }),
      ask({ authorization: `Bearer ${forged}` }),
      ask({ authorization: `Bearer ${token.replace('.', '')}` }),
      ask({}, `/llm/llama/v1/chat/completions?access_token=${token}`),
      ask({ authorization: `Bearer ${token}` }, '/llm/no-such-model/v1'),
      ask({ authorization: `Bearer ${token}` }, `/llm/${token}/v1`),
      ask({ authorization: `Bearer ${token}` }, `/llm//${token}`),
      ask({ authorization: `Bearer ${token}`, 'x-tiergate-user': token, cookie: token }),
      mint({ authorization: `Bearer ${token}` }),
      mint({ authorization: `Basic ${token}` }),
      mint({ 'x-api-key': token }),
      mint({}, JSON.stringify({ expiration: token })),
      mint({ authorization: `Bearer ${programs.tokenOf('bob')}` }, JSON.stringify({ [token]: token })),
      mint({ authorization: `Bearer ${programs.tokenOf('bob')}` }, JSON.stringify({ expiration: token })),
      mint({ authorization: `Bearer ${programs.tokenOf('bob')}` }, `{"expiration": "${token}`),
      call(`/v1/tokens?token=${token}`, {}),
      call(`/v1/tokens/${token}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${programs.tokenOf('bob')}` },
      }),
      call(`/${token}`, {}),
      call('/v1/models', { headers: { authorization: `Bearer ${token}` } }),
    ]);
  }

  beforeAll(async () => {
    programs = await startTwoPrograms();
    for (const token of programs.clusterTokens) sent.add(token);
    const minted = await mint({ authorization: `Bearer ${programs.tokenOf('alice')}` });
    const { token } = JSON.parse(minted) as { readonly token: string };
    sent.add(token);
    await sendEverywhere(token);
    await sendEverywhere(await issueToken());
    await sendEverywhere(await issueToken(-90));
    for (const garbage of [
      'garbage-that-is-no-token-at-all',
      `${'a'.repeat(40)}.${'b'.repeat(40)}.${'c'.repeat(400)}`,
    ]) {
      sent.add(garbage);
      await sendEverywhere(garbage);
    }
    for (const fault of faults) {
      const lift = programs.api.fail(fault);
      const fresh = await issueToken();
      await Promise.all([
        ask({ authorization: `Bearer ${fresh}` }),
        mint({ authorization: `Bearer ${programs.tokenOf('bob')}` }),
        mint({ authorization: `Bearer ${fresh}` }),
      ]);
      lift();
    }
  });

  afterAll(async () => {
    await programs.stop();
  });

  it('were sent in every way, and met every kind of answer', () => {
    expect(sent.size).toBeGreaterThan(20);
    expect([...reasons]).toEqual(
      expect.arrayContaining([
        'credential_missing',
        'credential_malformed',
        'token_expired',
        'token_rejected',
        'path_invalid',
        'model_forbidden',
        'identity_unavailable',
      ]),
    );
    const decisions = programs.authorizer.out().match(/"event":"decision","decision":"[a-z]+"/g) ?? [];
    expect(decisions.length).toBeGreaterThan(70);
    expect(new Set(decisions).size).toBe(2);
    // The search finds what is there.
    const [one = ''] = sent;
    expect(leaks(`x${one}x`, sent).length).toBeGreaterThan(0);
  });

  it('are in no log, at level debug and with every decision', () => {
    for (const program of [programs.authorizer, programs.issuer]) {
      expect(leaks(program.out(), sent)).toEqual([]);
      expect(leaks(program.err(), sent)).toEqual([]);
    }
  });

  it('are in no metric and no probe', async () => {
    for (const url of programs.ops) {
      for (const path of ['/metrics', '/readyz', '/livez']) {
        const text = await (await fetch(`${url}${path}`)).text();
        expect(text.length).toBeGreaterThan(1);
        expect(leaks(text, sent)).toEqual([]);
      }
    }
  });

  it('are in no answer to whom they did not help', () => {
    expect(refusals.length).toBeGreaterThan(70);
    expect(leaks(refusals.join('\n'), sent)).toEqual([]);
  });
});
