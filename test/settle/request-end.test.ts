import { describe, expect, it } from 'vitest';
import { type RequestEnd, reservationEnd } from '../../src/settle/request-end.ts';

const granted = new Map<string, string | number>([
  ['reservation_id', 'T.R'],
  ['user', 'alice'],
  ['tier', 'premium'],
  ['model', 'llm/llama'],
  ['reserved_tokens', 150],
]);
const ended: RequestEnd = { granted, usage: undefined, status: 200, responseBytes: 7 };

describe('the end of a request', () => {
  it('is the end of its reservation', () => {
    expect(reservationEnd(ended)).toEqual({
      reservationId: 'T.R',
      usage: undefined,
      isUnserved: false,
      responseBytes: 7,
      subject: 'alice',
      tier: 'premium',
      model: 'llm/llama',
      reservedTokens: 150,
    });
  });

  it('is told in numbers also where they came as text, through the HTTP door', () => {
    const told = (reserved_tokens: string) =>
      reservationEnd({ ...ended, granted: new Map([...granted, ['reserved_tokens', reserved_tokens]]) });
    expect(told('150')?.reservedTokens).toBe(150);
    expect(told('many')?.reservedTokens).toBeUndefined();
  });

  it('without a reservation is of no interest', () => {
    expect(reservationEnd({ ...ended, granted: new Map([['user', 'alice']]) })).toBeUndefined();
    expect(reservationEnd({ ...ended, granted: new Map([['reservation_id', 7]]) })).toBeUndefined();
  });

  it.each([
    [400, true],
    [404, true],
    [429, true],
    [500, true],
    [503, true],
    // What a time-out cut off a model may have worked for.
    [408, false],
    [499, false],
    [504, false],
    // No answer at all, or one that is none of an error.
    [0, false],
    [undefined, false],
    [200, false],
    [302, false],
  ])('with status %s used nothing: %s', (status, isUnserved) => {
    expect(reservationEnd({ ...ended, status })).toMatchObject({ isUnserved });
  });
});
