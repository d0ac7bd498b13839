import { describe, expect, it } from 'vitest';
import type { AccessLogEntry } from '../../src/check/access-log-entry.ts';
import { createReleaseSlot, type ReleaseResult } from '../../src/check/release-slot.ts';
import { DependencyError } from '../../src/dependency-error.ts';

const entry = (granted: Readonly<Record<string, string | number>>): AccessLogEntry => ({
  streamId: '',
  granted: new Map(Object.entries(granted)),
  usage: new Map(),
  responseCode: 200,
  details: '',
  requestBytes: 0,
  responseBytes: 0,
  durationMs: undefined,
});

function setUp(outagesBefore = 0, patience = Number.POSITIVE_INFINITY) {
  const released: string[] = [];
  const results: ReleaseResult[] = [];
  const waits: number[] = [];
  let outages = outagesBefore;
  const receive = createReleaseSlot({
    release(id) {
      if (outages > 0) {
        outages -= 1;
        throw new DependencyError('redis', 'unreachable');
      }
      released.push(id);
      return 'released';
    },
    async wait(ms) {
      waits.push(ms);
      if (waits.length > patience) throw new Error('no more time');
    },
    observe: (result) => results.push(result),
  });
  return { receive, released, results, waits };
}

describe('the end of a request', () => {
  it('releases its slot', async () => {
    const { receive, released, results } = setUp();
    await receive(entry({ slot_id: 'a.b', user: 'alice' }));
    expect(released).toEqual(['a.b']);
    expect(results).toEqual(['released']);
  });

  it('without a slot changes nothing', async () => {
    const { receive, released, results } = setUp();
    await receive(entry({ user: 'alice' }));
    await receive(entry({ slot_id: 7 }));
    expect([released, results]).toEqual([[], []]);
  });

  it('is told again while the store is away, ever more slowly, and given up after half a minute', async () => {
    const short = setUp(3);
    await short.receive(entry({ slot_id: 'a.b' }));
    expect(short.released).toEqual(['a.b']);
    expect(short.waits).toEqual([250, 500, 1000]);
    const long = setUp(Number.POSITIVE_INFINITY);
    await long.receive(entry({ slot_id: 'a.b' }));
    expect(long.results).toEqual(['given_up']);
    expect(long.waits.reduce((sum, ms) => sum + ms)).toBeLessThan(60_000);
  });

  it('is given up when there is no more time', async () => {
    const { receive, results, waits } = setUp(Number.POSITIVE_INFINITY, 0);
    await receive(entry({ slot_id: 'a.b' }));
    expect(results).toEqual(['given_up']);
    expect(waits).toHaveLength(1);
  });
});
