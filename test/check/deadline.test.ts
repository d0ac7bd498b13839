import { describe, expect, it } from 'vitest';
import { bounded } from '../../src/check/deadline.ts';

const late = () => 'late';

describe('a bounded wait', () => {
  it('gives what comes in time', async () => {
    const answer = new Promise<string>((resolve) => setTimeout(() => resolve('answer'), 5));
    expect(await bounded(answer, 1000, 0, late)).toBe('answer');
  });

  it('ends at the deadline, while the answer goes on and its late failure is nobody\u2019s', async () => {
    let fail: (error: Error) => void = () => undefined;
    const answer = new Promise<string>((_resolve, reject) => {
      fail = reject;
    });
    expect(await bounded(answer, 5, 0, late)).toBe('late');
    fail(new Error('too late to matter'));
    await new Promise(setImmediate);
  });

  it('passes a failure in time on, and one of what is said instead', async () => {
    await expect(bounded(Promise.reject(new Error('fault')), 1000, 0, late)).rejects.toThrow('fault');
    const never = new Promise<string>(() => undefined);
    const broken = () => {
      throw new Error('bug');
    };
    await expect(bounded(never, 0, 0, broken)).rejects.toThrow('bug');
  });

  it('reads an answer that was there before the deadline, though this process was busy over it', async () => {
    const answer = new Promise<string>((resolve) => setImmediate(() => resolve('answer')));
    const waiting = bounded(answer, 1, 0, late);
    const busyUntil = performance.now() + 20;
    while (performance.now() < busyUntil);
    expect(await waiting).toBe('answer');
  });
});
