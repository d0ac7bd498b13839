import type { WatchState } from '../kubernetes/object-watch.ts';
import type { Events } from '../process/events.ts';
import type { Metrics } from '../process/metrics.ts';
import { type AuthorizerHealth, type AuthorizerPart, wordsOf } from './authorizer-health.ts';

export interface WatchReportOptions {
  /** What is watched, as metrics and log call it: `secrets`. */
  readonly resource: string;
  readonly part: AuthorizerPart;
  readonly metrics: Metrics;
  readonly events: Events;
  readonly health: AuthorizerHealth;
  /** Where doing without is a choice of the operator's: what it means that it is refused. */
  readonly refusedMeans?: string;
}

/** Tells log, metrics and `/readyz` how the watches of one part fare. */
export interface WatchReport {
  readonly onHeard: () => void;
  /** `place` is what tells a watch of this part from its others: a namespace, or a kind. */
  readonly onPhase: (place: string, state: WatchState) => void;
  /** Watches of any other place were ended, and say nothing any more. */
  readonly keepOnly: (places: readonly string[]) => void;
  /** From now on the part counts as ready, or as degraded: every watch had its first answer. */
  readonly settled: () => void;
}

export function createWatchReport(options: WatchReportOptions): WatchReport {
  const { resource, part, metrics, events, health, refusedMeans } = options;
  const observer = metrics.watchObserver(resource);
  const stateByPlace = new Map<string, WatchState>();
  let isSettled = false;
  let heardAtMs = 0;

  function tellHealth(): void {
    const states = [...stateByPlace];
    const isChosen = ({ phase }: WatchState): boolean => phase === 'refused' && refusedMeans !== undefined;
    const lost = states.filter(([, state]) => state.phase !== 'up' && !isChosen(state));
    if (lost.length > 0) {
      const words = lost.map(([place, { phase, fault }]) => `${place} ${phase} (${wordsOf(fault)})`);
      health.degraded(part, `not followed: ${words.join(', ')}`);
      return;
    }
    const refused = states.filter(([, state]) => isChosen(state)).map(([place]) => place);
    if (!isSettled) return;
    if (refused.length === 0) health.ready(part);
    else health.ready(part, `${refusedMeans}: ${refused.join(', ')}`);
  }

  health.show(`watch ${resource}`, () => ({
    heardSecondsAgo: heardAtMs === 0 ? null : Math.round((Date.now() - heardAtMs) / 100) / 10,
    places: Object.fromEntries(
      [...stateByPlace].map(([place, { phase, sinceMs, objects }]) => [
        place,
        { phase, forSeconds: Math.round((Date.now() - sinceMs) / 1000), objects },
      ]),
    ),
  }));

  return {
    keepOnly(places) {
      for (const place of stateByPlace.keys()) if (!places.includes(place)) stateByPlace.delete(place);
      tellHealth();
    },
    onHeard() {
      heardAtMs = Date.now();
      observer.heard();
    },
    onPhase(place, state) {
      stateByPlace.set(place, state);
      const what = { resource: `${resource} in ${place}` };
      if (state.phase === 'up') events.watchUp(what);
      else events.watchDown({ ...what, error: state.fault });
      if ([...stateByPlace.values()].every(({ phase }) => phase === 'up')) observer.up();
      else observer.down();
      tellHealth();
    },
    settled() {
      isSettled = true;
      // Waited for once; what is refused is told of and served without.
      health.ready(part);
      tellHealth();
    },
  };
}
