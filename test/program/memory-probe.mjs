// Preloaded into a program of ours under test (`node --expose-gc --import`): on SIGUSR2 it collects garbage and appends
// what remains to the file that MEMORY_PROBE names, as one JSON line in bytes.
import { appendFileSync } from 'node:fs';

process.on('SIGUSR2', () => {
  // Twice: what the first collection only makes unreachable goes with the second.
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, rss, external } = process.memoryUsage();
  appendFileSync(process.env.MEMORY_PROBE, `${JSON.stringify({ heapUsed, rss, external })}\n`);
});
