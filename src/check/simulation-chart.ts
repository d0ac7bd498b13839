import type { Simulation, TimelineBucket } from './simulation.ts';

const width = 960;
const height = 320;
const left = 56;
const right = 16;
const top = 56;
const bottom = 40;

/** What a bar stands for, with a colour that is told from the others without its hue. */
const series = [
  { key: 'passedNow', label: 'would pass', fill: '#b7c9e2' },
  { key: 'deniedNow', label: 'would be denied', fill: '#a4262c' },
] as const;

/**
 * Requests over time, and what of them a document would deny, as an SVG text: bars for the document, a line for what
 * the log says was denied then. Self-contained; no script, no font and no image of elsewhere.
 */
export function simulationChart({ timeline, total }: Simulation): string {
  const { buckets, bucketMs } = timeline;
  const most = Math.max(1, ...buckets.map(({ requests }) => requests));
  const plotWidth = width - left - right;
  const plotHeight = height - top - bottom;
  const step = plotWidth / Math.max(1, buckets.length);
  const y = (count: number) => round(top + plotHeight * (1 - count / most));
  const x = (at: number) => round(left + at * step);
  const rect = (at: number, from: number, to: number, fill: string) =>
    from === to
      ? ''
      : `<rect x="${x(at)}" y="${y(to)}" width="${round(Math.max(1, step - 1))}" height="${round(y(from) - y(to))}" fill="${fill}"/>`;
  const bars = buckets.map(
    ({ requests, deniedNow }, at) =>
      rect(at, 0, deniedNow, series[1].fill) + rect(at, deniedNow, requests, series[0].fill),
  );
  const then = buckets.map(({ deniedThen }, at) => `${x(at + 0.5)},${y(deniedThen)}`).join(' ');
  const percent = total.requests === 0 ? 0 : (100 * total.deniedNow) / total.requests;
  const title = `${total.deniedNow} of ${total.requests} requests would be denied (${percent.toFixed(1)} %), ${total.deniedThen} were`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" font-family="sans-serif" font-size="12">
<title>${title}</title>
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${left}" y="20" font-size="14">${title}</text>
${legend()}
${[0, 0.5, 1].map((share) => gridLine(y(most * share), Math.round(most * share))).join('\n')}
${bars.join('')}
<polyline points="${then}" fill="none" stroke="#000" stroke-width="1.5" stroke-dasharray="4 3"/>
${timeLabels(buckets, bucketMs, x)}
</svg>
`;
}

function legend(): string {
  const swatches = series.map(
    ({ label, fill }, at) =>
      `<rect x="${left + at * 150}" y="30" width="12" height="12" fill="${fill}"/><text x="${left + 18 + at * 150}" y="40">${label}</text>`,
  );
  const at = left + series.length * 150;
  return `${swatches.join('')}<path d="M${at} 36h24" stroke="#000" stroke-width="1.5" stroke-dasharray="4 3"/><text x="${at + 30}" y="40">was denied then</text>`;
}

function gridLine(at: number, count: number): string {
  return `<path d="M${left} ${at}H${width - right}" stroke="#ddd"/><text x="${left - 6}" y="${at + 4}" text-anchor="end">${count}</text>`;
}

function timeLabels(buckets: readonly TimelineBucket[], bucketMs: number, x: (at: number) => number): string {
  const first = buckets[0];
  const last = buckets.at(-1);
  if (first === undefined || last === undefined) return '';
  const label = (atMs: number) => new Date(atMs).toISOString().replace('T', ' ').slice(0, 19);
  return `<text x="${left}" y="${height - 14}">${label(first.atMs)}</text><text x="${x(buckets.length)}" y="${height - 14}" text-anchor="end">${label(last.atMs + bucketMs)} UTC</text>`;
}

function round(length: number): number {
  return Math.round(length * 100) / 100;
}
