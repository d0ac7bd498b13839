import { describe, expect, it } from 'vitest';
import { createForgetAccess } from '../../src/check/forget-access.ts';

const keys = ['llm/llama ["alice"]', 'llm/qwen ["bob"]', 'other/llama ["alice"]', 'll/m ["bob"]'];

function setUp() {
  let nowMs = 0;
  const calls: { readonly atMs: number; readonly call: () => void }[] = [];
  const forgotten: { readonly atMs: number; readonly keys: readonly string[] }[] = [];
  const changed = createForgetAccess({
    forget: (matches) => forgotten.push({ atMs: nowMs, keys: keys.filter(matches) }),
    after: (delayMs, call) => calls.push({ atMs: nowMs + delayMs, call }),
  });
  return {
    changed,
    forgotten,
    advance(this: void, byMs: number): void {
      const untilMs = nowMs + byMs;
      for (;;) {
        const next = calls.toSorted((a, b) => a.atMs - b.atMs).find(({ atMs }) => atMs <= untilMs);
        if (next === undefined) break;
        calls.splice(calls.indexOf(next), 1);
        nowMs = next.atMs;
        next.call();
      }
      nowMs = untilMs;
    },
  };
}

describe('a change of access rules', () => {
  it('has the verdicts of that namespace forgotten at once, and no others', () => {
    const { changed, forgotten } = setUp();
    changed('llm');
    expect(forgotten).toEqual([{ atMs: 0, keys: keys.slice(0, 2) }]);
  });

  it('has all forgotten where the rules hold for the whole cluster', () => {
    const { changed, forgotten } = setUp();
    changed(undefined);
    expect(forgotten).toEqual([{ atMs: 0, keys }]);
  });

  it('has them forgotten again, since the API server may have decided by what was', () => {
    const { changed, forgotten, advance } = setUp();
    changed('other');
    advance(10_000);
    expect(forgotten.map(({ atMs }) => atMs)).toEqual([0, 150, 2000]);
    expect(new Set(forgotten.map((each) => each.keys.join()))).toEqual(new Set(['other/llama ["alice"]']));
  });

  it('goes through the cache seldom in a storm, and misses nobody', () => {
    const { changed, forgotten, advance } = setUp();
    for (let count = 0; count < 1000; count += 1) {
      changed(count % 2 === 0 ? 'llm' : 'other');
      advance(1);
    }
    // Ten a second, each with two more to come.
    expect(forgotten.length).toBeLessThan(25);
    advance(150);
    expect(forgotten.at(-1)?.keys).toEqual(keys.slice(0, 3));
  });
});
