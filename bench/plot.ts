export interface Bars {
  readonly title: string;
  readonly bars: readonly Bar[];
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** Present: the bar goes on to there, lighter. */
  readonly to?: number;
}

const width = 860;
const nameWidth = 290;
const valueWidth = 110;
const rowHeight = 28;
const top = 44;

/** Horizontal bars from 0, one a line, that can be read on a light and on a dark ground. */
export function barsSvg({ title, bars }: Bars): string {
  const most = Math.max(...bars.map(({ value, to = 0 }) => Math.max(value, to)), Number.MIN_VALUE);
  const scale = (width - nameWidth - valueWidth) / most;
  const rows = bars.map(({ name, value, to }, at) => {
    const y = top + at * rowHeight;
    const words = to === undefined ? figure(value) : `${figure(value)} to ${figure(to)}`;
    const end = nameWidth + Math.max(value, to ?? 0) * scale;
    return [
      `<text x="${nameWidth - 10}" y="${y + 15}" text-anchor="end">${escaped(name)}</text>`,
      to === undefined ? '' : rect(y, to * scale, 0.35),
      rect(y, value * scale, 1),
      `<text x="${(end + 6).toFixed(1)}" y="${y + 15}">${words}</text>`,
    ].join('');
  });
  const height = top + bars.length * rowHeight + 8;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="13" fill="#808080"><text x="10" y="24" font-size="15">${escaped(title)}</text>${rows.join('')}</svg>\n`;
}

function rect(y: number, length: number, opacity: number): string {
  return `<rect x="${nameWidth}" y="${y}" width="${length.toFixed(1)}" height="20" fill="#3d7dca" fill-opacity="${opacity}"/>`;
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
