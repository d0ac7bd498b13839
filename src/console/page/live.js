import { ask, Refused } from './api.js';

/**
 * What the page knows of the process: asked for every second while somebody can see it, and kept here for every view.
 *
 * @typedef {{ readonly labels: Readonly<Record<string, string | number>>, readonly value: number }} Cell
 * @typedef {object} Sample
 * @property {number} seq
 * @property {number} atMs
 * @property {number} seconds
 * @property {number} allowed
 * @property {Readonly<Record<string, number>>} denied
 * @property {Readonly<Record<string, readonly [number, number]>>} tiers
 * @property {number} [p50Ms]
 * @property {number} [p99Ms]
 *
 * @typedef {object} Denial
 * @property {number} seq
 * @property {number} atMs
 * @property {string} reason
 * @property {number} status
 * @property {string} detail
 * @property {string} [subject]
 * @property {string} [tier]
 * @property {string} [model]
 * @property {string} method
 * @property {string} requestId
 * @property {number} [retryAfterMs]
 *
 * @typedef {object} WindowInUse
 * @property {string} scope
 * @property {string} unit
 * @property {number} windowMs
 * @property {number} limit
 * @property {number} remaining
 * @property {number} resetAfterMs
 * @property {string} mode
 *
 * @typedef {object} Subject
 * @property {string} subject
 * @property {string} [tier]
 * @property {number} requests
 * @property {number} denied
 * @property {readonly WindowInUse[]} [windows]
 *
 * @typedef {object} Live
 * @property {number} nowMs
 * @property {Sample[]} samples
 * @property {Denial[]} denials
 * @property {any} report
 * @property {readonly any[]} tiers Of the policy in force, the highest first.
 * @property {Readonly<Record<string, readonly Cell[]>>} figures
 * @property {readonly Subject[]} subjects
 * @property {any} [registrar]
 */

const everyMs = 1_000;
const maxSamples = 900;
const maxDenials = 200;
/** Without a key or a pointer for so long, asking does not count as somebody being there. */
const awayMs = 120_000;

/**
 * @param {object} options
 * @param {(live: Live) => void} options.onNews
 * @param {(fault: Refused) => void} options.onFault
 */
export function createLive({ onNews, onFault }) {
  /** @type {Live | undefined} */
  let live;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let isRunning = false;
  let isAsking = false;
  let activeAtMs = performance.now();

  for (const event of ['pointerdown', 'keydown', 'pointermove']) {
    addEventListener(event, () => void (activeAtMs = performance.now()), { passive: true });
  }
  document.addEventListener('visibilitychange', () => {
    if (isRunning && !document.hidden) void tick();
  });

  async function tick() {
    clearTimeout(timer);
    if (!isRunning || isAsking || document.hidden) return;
    isAsking = true;
    try {
      const samples = live?.samples.at(-1)?.seq ?? 0;
      const denials = live?.denials.at(-1)?.seq ?? 0;
      const idle = performance.now() - activeAtMs > awayMs ? '&idle=1' : '';
      const news = await ask('GET', `api/live?samples=${samples}&denials=${denials}${idle}`);
      if (!isRunning) return;
      live = {
        ...news,
        samples: [...(live?.samples ?? []), ...news.samples].slice(-maxSamples),
        denials: [...(live?.denials ?? []), ...news.denials].slice(-maxDenials),
      };
      onNews(/** @type {Live} */ (live));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      onFault(error);
    } finally {
      isAsking = false;
      if (isRunning) timer = setTimeout(tick, everyMs);
    }
  }

  return {
    start() {
      if (isRunning) return;
      isRunning = true;
      void tick();
    },
    stop() {
      isRunning = false;
      clearTimeout(timer);
      live = undefined;
    },
    /** Begins anew: the process behind the page is another one. */
    forget() {
      live = undefined;
    },
    now: () => live,
  };
}

/**
 * The value of a metric's one cell with these labels; 0 where there is none.
 *
 * @param {Live} live
 * @param {string} name
 * @param {Readonly<Record<string, string>>} [labels]
 */
export function figure(live, name, labels = {}) {
  return (live.figures[name] ?? [])
    .filter((cell) => Object.entries(labels).every(([key, value]) => cell.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

/**
 * @param {Live} live
 * @param {string} name
 */
export function hasFigure(live, name) {
  return (live.figures[name] ?? []).length > 0;
}
