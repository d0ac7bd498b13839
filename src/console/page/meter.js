import { svg } from './dom.js';

/**
 * How much of something is used, as a bar; what it says stands beside it in words.
 *
 * @param {number} used
 * @param {number} limit
 */
export function meter(used, limit) {
  const part = limit === 0 ? 0 : Math.min(1, Math.max(0, used / limit));
  const level = part >= 1 ? 'full' : part >= 0.8 ? 'high' : 'fine';
  return svg(
    'svg',
    { class: `meter ${level}`, viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('rect', { class: 'rest', width: 100, height: 6 }),
    svg('rect', { class: 'used', width: (100 * part).toFixed(1), height: 6 }),
  );
}
