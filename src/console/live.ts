import type { WindowState } from '../check/limit.ts';
import type { ReadUsage } from '../issue/usage.ts';
import type { Policy, Tier } from '../policy/policy.ts';
import type { MetricValue, ReadMetric } from '../process/read-metric.ts';
import type { Route } from './console.ts';
import { tierViews } from './policy-route.ts';
import type { RecentOutcomes } from './recent-outcomes.ts';
import type { ReadRegistrar } from './registrar.ts';
import type { Series } from './series.ts';
import type { TopSubject } from './top-subjects.ts';

export interface LiveOptions {
  readonly series: Series;
  readonly outcomes: RecentOutcomes;
  readonly policy: () => Policy;
  readonly readUsage: ReadUsage;
  /** What `/readyz` shows: the parts, and figures of watches and budgets. */
  readonly report: () => object;
  readonly read: ReadMetric;
  /** Absent: no registrar is configured. */
  readonly readRegistrar: ReadRegistrar | undefined;
  readonly now: () => number;
}

/** Metrics that the page shows as they stand. */
const shownMetrics = [
  'tiergate_cache_entries',
  'tiergate_cache_events_total',
  'tiergate_denied_list_entries',
  'tiergate_lease_requests_total',
  'tiergate_leases_total',
  'tiergate_limit_without_store_total',
  'tiergate_policy_generation',
  'tiergate_policy_loaded_timestamp_seconds',
  'tiergate_redis_commands_total',
  'tiergate_redis_up',
  'tiergate_review_budget_refused_total',
  'tiergate_reviews_total',
  'process_start_time_seconds',
  'process_resident_memory_bytes',
] as const;

const mostSubjects = 10;
/** However many pages are open: the counters are asked about ten subjects in that time, the rest is read once. */
const sharedMs = 2_000;

interface SubjectInUse extends TopSubject {
  /** Undefined: the counters can not be read, or the tier is not in the policy any more. */
  readonly windows: readonly WindowInUse[] | undefined;
}

interface WindowInUse {
  readonly scope: string;
  readonly unit: string;
  readonly windowMs: number;
  readonly limit: number;
  readonly remaining: number;
  readonly resetAfterMs: number;
  readonly mode: string;
}

/** `/api/live?samples=SEQ&denials=SEQ`: what is new since, and how everything stands. Asked every second. */
export function createLiveRoute(options: LiveOptions): Route {
  const { series, outcomes, report, now, readRegistrar } = options;
  const readFigures = shared(now, 500, () => figuresOf(options.read));
  const readSubjects = shared(now, sharedMs, () => subjectsInUse(options));
  const readIat = readRegistrar && shared(now, 15_000, readRegistrar);

  return {
    method: 'GET',
    path: '/api/live',
    right: 'look',
    async handle({ query }) {
      const [figures, subjects, registrar] = await Promise.all([readFigures(), readSubjects(), readIat?.()]);
      return {
        nowMs: now(),
        samples: series.samplesAfter(countFrom(query.get('samples'))),
        denials: outcomes.denialsAfter(countFrom(query.get('denials'))),
        report: report(),
        tiers: tierViews(options.policy()),
        figures,
        subjects,
        ...(registrar !== undefined && { registrar }),
      };
    },
  };
}

async function figuresOf(read: ReadMetric): Promise<Readonly<Record<string, readonly MetricValue[]>>> {
  const entries = shownMetrics.map(async (name) => [name, await read(name)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

async function subjectsInUse({ outcomes, policy, readUsage }: LiveOptions): Promise<readonly SubjectInUse[]> {
  const tierByName = new Map(policy().tiers.map((tier) => [tier.name, tier]));
  return Promise.all(
    outcomes.topSubjects(mostSubjects).map(async ({ subject, tier: name, requests, denied }) => {
      const tier = tierByName.get(name ?? '');
      const windows = tier && (await windowsOf(subject, tier, readUsage));
      return { subject, tier: name, requests, denied, windows };
    }),
  );
}

/** Their own windows; a team's belong to nobody in a list of people. */
async function windowsOf(
  subject: string,
  tier: Tier,
  readUsage: ReadUsage,
): Promise<readonly WindowInUse[] | undefined> {
  try {
    const { windows } = await readUsage({ subject, tier, groups: [] });
    return windows.map(windowInUse);
  } catch {
    // The part `redis` of the report says why.
    return undefined;
  }
}

function windowInUse({ window, remaining, resetAfterMs }: WindowState): WindowInUse {
  const { scope, unit, windowMs, limit, mode } = window;
  return { scope, unit, windowMs, limit, remaining, resetAfterMs, mode };
}

/** One answer for all who ask within that time. */
function shared<T>(now: () => number, forMs: number, ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let askedAtMs = 0;
  return () => {
    const nowMs = now();
    if (answer === undefined || nowMs < askedAtMs || nowMs - askedAtMs >= forMs) {
      askedAtMs = nowMs;
      answer = ask();
    }
    return answer;
  };
}

function countFrom(text: string | null): number {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
