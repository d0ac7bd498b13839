/** How a part is. `detail` is read by operators: what is missing and what that means. */
export type PartState =
  | { readonly state: 'starting' }
  | { readonly state: 'ready'; readonly detail?: string }
  | { readonly state: 'degraded'; readonly detail: string };

export interface ReadinessOptions<Part extends string> {
  /** Parts without whose first readiness nothing is served: configuration, policy, first syncs. */
  readonly gating: readonly Part[];
  /** Parts that are shown and never waited for: the policy says what holds while they are away. */
  readonly others: readonly Part[];
  /** Hears of every change of a part's state. */
  readonly onPart?: (part: Part, state: PartState) => void;
  /** Hears once that everything was ready, and once that it is stopping. */
  readonly onStatus?: (status: ReadinessStatus) => void;
}

export type ReadinessStatus = 'starting' | 'ready' | 'stopping';

export interface ReadinessReport {
  readonly status: ReadinessStatus;
  readonly parts: Readonly<Record<string, PartState>>;
}

export interface Readiness<Part extends string> {
  /** With a detail where something is so on purpose that an operator may want to know. */
  readonly ready: (part: Part, detail?: string) => void;
  /** What it depends on is away. Of a gating part that was never ready: still waited for. */
  readonly degraded: (part: Part, detail: string) => void;
  /** From now on not ready, for good. */
  readonly stopping: () => void;
  readonly isReady: () => boolean;
  readonly report: () => ReadinessReport;
}

/**
 * Ready once every gating part was ready once; after that only stopping ends it. A dependency that goes away
 * goes away for all replicas alike: leaving the load balancer together would be the worse outage.
 */
export function createReadiness<Part extends string>(options: ReadinessOptions<Part>): Readiness<Part> {
  const { gating, others, onPart, onStatus } = options;
  const states = new Map<Part, PartState>(
    [...gating, ...others].map((part) => [part, { state: 'starting' }]),
  );
  const awaited = new Set(gating);
  let status: ReadinessStatus = 'starting';

  function change(part: Part, next: PartState): void {
    const before = states.get(part);
    if (before === undefined) throw new TypeError(`${part} is no part that was named at creation`);
    if (before.state === next.state && detailOf(before) === detailOf(next)) return;
    states.set(part, next);
    onPart?.(part, next);
  }

  function enter(next: ReadinessStatus): void {
    status = next;
    onStatus?.(next);
  }

  return {
    ready(part, detail) {
      change(part, { state: 'ready', ...(detail !== undefined && { detail }) });
      awaited.delete(part);
      if (status === 'starting' && awaited.size === 0) enter('ready');
    },
    degraded: (part, detail) => change(part, { state: 'degraded', detail }),
    stopping() {
      if (status !== 'stopping') enter('stopping');
    },
    isReady: () => status === 'ready',
    report: () => ({ status, parts: Object.fromEntries(states) }),
  };
}

function detailOf(state: PartState): string | undefined {
  return state.state === 'starting' ? undefined : state.detail;
}
