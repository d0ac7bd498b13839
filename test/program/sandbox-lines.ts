import { beforeAll, describe, expect, it } from 'vitest';
import { expectError, type PastedLine, pasteLines, readResponse } from './pasted-lines.ts';

/** What a stranger sees who pastes every line of the start text, in order, whichever gateway is in front. */
export function describeLinesToPaste(startText: () => string): void {
  describe('the lines to paste', () => {
    let lines: readonly PastedLine[];
    /** Outputs of the lines below a heading that print something. */
    const step = (number: number) =>
      lines.filter((line) => line.step === number && line.output !== '').map(({ output }) => output);
    const responses = (number: number) => step(number).map(readResponse);

    beforeAll(async () => {
      lines = await pasteLines(startText());
    });

    it('are the seven steps of the first minute', () => {
      expect(lines.map((line) => line.step)).toEqual([1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 6, 7]);
    });

    it('swap a cluster token for an access token, silently', () => {
      expect(step(1)).toEqual([]);
    });

    it('chat (200), plain and as a stream', () => {
      const [plain, streamed, ...more] = responses(2);
      expect(more).toEqual([]);
      expect(plain?.status).toBe(200);
      expect(JSON.parse(plain?.body ?? '')).toMatchObject({
        object: 'chat.completion',
        model: 'llama',
        choices: [{ message: { role: 'assistant' }, finish_reason: 'stop' }],
        usage: { total_tokens: expect.any(Number) as number },
      });
      expect(plain?.headers.get('ratelimit')).toContain('"requests-2m";r=4');

      expect(streamed?.status).toBe(200);
      expect(streamed?.headers.get('content-type')).toContain('text/event-stream');
      expect(streamed?.headers.get('ratelimit')).toContain('"requests-2m";r=3');
      const events = streamed?.body.split('\n\n').filter((event) => event !== '') ?? [];
      expect(events.length).toBeGreaterThan(3);
      expect(events.every((event) => event.startsWith('data: '))).toBe(true);
      expect(events.at(-1)).toBe('data: [DONE]');
    });

    it('are refused without a token, with garbage and with an expired one (401)', () => {
      const found = responses(3);
      expect(found.map(({ status }) => status)).toEqual([401, 401, 401]);
      const [missing, garbage, expired] = found;
      if (missing === undefined || garbage === undefined || expired === undefined)
        throw new Error('no answer');
      expectError(missing, 'credential_missing');
      expect(missing.headers.get('www-authenticate')).toBe('Bearer realm="maas-default-gateway"');
      expectError(garbage, 'credential_malformed');
      expectError(expired, 'token_expired');
      expect(expired.headers.get('www-authenticate')).toContain('error="invalid_token"');
    });

    it('are refused for a model of other tiers and, the same way, for one that does not exist (403)', () => {
      const found = responses(4);
      expect(found.map(({ status }) => status)).toEqual([403, 403]);
      for (const response of found) expectError(response, 'model_forbidden');
      expect(new Set(found.map(({ body }) => body)).size).toBe(1);
    });

    it('are refused for a hostile path (400)', () => {
      const [response, ...more] = responses(5);
      expect(more).toEqual([]);
      expect(response?.status).toBe(400);
      if (response !== undefined) expectError(response, 'path_invalid');
    });

    it('meet the limit of bob at the sixth request (429), which says when to come back', () => {
      const [passed, denied] = step(6);
      expect(passed).toBe('200\n200\n200\n');
      const response = readResponse(denied ?? '');
      expect(response.status).toBe(429);
      expectError(response, 'requests_exceeded');
      const seconds = Number(response.headers.get('retry-after'));
      expect(seconds).toBeGreaterThan(0);
      expect(seconds).toBeLessThanOrEqual(126);
      expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    });

    it('say why it was denied, and what would change it', () => {
      const [why = ''] = step(7);
      expect(why).toMatch(/^denied 429 requests_exceeded: POST \/llm\/llama\//);
      expect(why).toContain('What would change it: Wait, ');
    });
  });
}
