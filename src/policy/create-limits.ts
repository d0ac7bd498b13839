import { formatDuration } from '../duration.ts';
import type {
  LimitsDocument,
  ModelLimitsDocument,
  PolicyDocument,
  TierDocument,
  WindowsDocument,
} from './document.ts';
import { byNarrowness, parseModelPattern, parseTeamPattern } from './pattern.ts';
import type {
  ModelCapacity,
  ModelLimits,
  SharedLimits,
  Tier,
  TokenReserve,
  WindowLimit,
  WindowUnit,
} from './policy.ts';

type Path = readonly PropertyKey[];

export type ReportMistake = (path: Path, message: string) => void;

export interface Findings {
  readonly report: ReportMistake;
  readonly warnings: string[];
}

/** Scopes of windows that are nobody's alone. A pattern of models has a slash, and so is neither. */
const teamScope = 'team';
const capacityScope = 'capacity';

type TierLimits = Pick<Tier, 'windows' | 'models' | 'shared' | 'concurrency'>;

const unlimited: TierLimits = { windows: [], models: [], shared: undefined };

/** What a tier says of limits, or else the default limits. */
export function limitsOf(
  tier: TierDocument,
  at: number,
  defaultLimits: LimitsDocument,
  findings: Findings,
): TierLimits {
  const path = ['tiers', at, 'limits'];
  if (tier.limits === undefined) {
    findings.warnings.push(`Tier ${tier.name} has no limits: it gets the default limits.`);
  }
  const limits = tier.limits ?? defaultLimits;
  if (limits === 'unlimited') return unlimited;

  const { reserve } = tier;
  const place = { title: `Tier ${tier.name}`, isShadow: tier.mode === 'shadow', reserve, findings };
  const { requests, models, shared, concurrency, ...others } = limits;
  const own = requests === 'unlimited' ? others : { ...others, requests };
  const windows = windowsOf(own, { ...place, path, scope: '*' });
  warnOfTooSmall(windows, { what: 'a request', weight: 1 }, { ...place, path });
  if (windows.length === 0 && requests !== 'unlimited') {
    const isBare = models === undefined && shared === undefined && concurrency === undefined;
    const word = isBare ? 'limits' : 'requests';
    findings.report(path, `hold no window: write ${word}: unlimited if that is meant`);
  }
  return {
    windows,
    models: byNarrowness(
      Object.entries(models ?? {}).flatMap(([pattern, document]) =>
        modelLimitsOf(pattern, document, windows, { ...place, path: [...path, 'models', pattern] }),
      ),
    ),
    ...(concurrency !== undefined && {
      concurrency: { limit: concurrency, mode: tier.mode },
    }),
    shared: shared && sharedOf(shared, { ...place, path: [...path, 'shared'] }),
  };
}

interface Place {
  readonly path: Path;
  /** How warnings begin. */
  readonly title: string;
  /** Whether every window of the tier is a shadow's. */
  readonly isShadow: boolean;
  /** Absent where requests of several tiers come together. */
  readonly reserve?: TokenReserve;
  readonly findings: Findings;
}

/** Limits that not even one request fits under which says nothing of its tokens. */
function warnOfTooSmall(
  windows: readonly WindowLimit[],
  { what, weight }: { readonly what: string; readonly weight: number },
  { title, reserve, findings: { warnings } }: Place,
): void {
  for (const window of windows) {
    const { unit, limit, mode } = window;
    if (mode === 'shadow') continue;
    if (unit === 'requests') {
      if (limit >= weight) continue;
      warnings.push(
        `${title}: ${what} weighs ${weight} and can never pass, since ${describe(window)} is the limit.`,
      );
    } else if (unit !== 'inputTokens' && reserve !== undefined) {
      const least = weight * (reserve.maxTokens + (unit === 'tokens' ? 1 : 0));
      if (limit >= least) continue;
      warnings.push(
        `${title}: ${what} that does not say max_tokens is charged ${least} at least and can never pass, since ${describe(window)} is the limit: lower reserve.maxTokens.`,
      );
    }
  }
}

function modelLimitsOf(
  text: string,
  document: ModelLimitsDocument,
  ofAllModels: readonly WindowLimit[],
  place: Place,
): readonly ModelLimits[] {
  const { path, title, findings } = place;
  const pattern = parseModelPattern(text);
  if (pattern === undefined) {
    findings.report(path, notAPattern(text));
    return [];
  }
  if (document === 'unlimited') return [{ pattern, windows: [], weight: 1 }];
  const { weight = 1 } = document;
  const windows = windowsOf(document, { ...place, scope: text });
  if (windows.length === 0 && document.weight === undefined) {
    findings.report(path, 'holds neither a window nor a weight: write unlimited if that is meant');
  }
  for (const window of windows) {
    const wider = ofAllModels.find((other) => other.unit === window.unit && isReachedFirst(other, window));
    if (wider === undefined) continue;
    findings.warnings.push(
      `${title}: ${describe(window)} for ${text} can never bind, since ${describe(wider)} for all models is reached first.`,
    );
  }
  const weighed = weight === 1 ? windows : [...ofAllModels, ...windows];
  warnOfTooSmall(weighed, { what: `a request for ${text}`, weight }, place);
  return [{ pattern, windows, weight }];
}

function sharedOf({ by: text, ...document }: SharedDocument, place: Place): SharedLimits | undefined {
  const { path, findings } = place;
  const by = parseTeamPattern(text);
  if (by === undefined) {
    findings.report([...path, 'by'], `${text} must be group: and a name, with stars for any characters`);
    return undefined;
  }
  const windows = windowsOf(document, { ...place, scope: teamScope });
  if (windows.length === 0) findings.report(path, 'holds no window');
  return { by, windows };
}

type SharedDocument = NonNullable<Exclude<LimitsDocument, 'unlimited'>['shared']>;

/** What models take, whoever asks. */
export function capacityOf(
  capacity: NonNullable<PolicyDocument['capacity']>,
  findings: Findings,
): readonly ModelCapacity[] {
  return byNarrowness(
    Object.entries(capacity).flatMap(([text, document]): readonly ModelCapacity[] => {
      const path = ['capacity', text];
      const pattern = parseModelPattern(text);
      if (pattern === undefined) {
        findings.report(path, notAPattern(text));
        return [];
      }
      if (document === 'unlimited') return [{ pattern, windows: [] }];
      const place = { title: `Capacity of ${text}`, isShadow: false, findings };
      const windows = windowsOf(document, { ...place, path, scope: capacityScope });
      if (windows.length === 0) findings.report(path, 'holds no window: write unlimited if that is meant');
      return [{ pattern, windows }];
    }),
  );
}

const units: readonly WindowUnit[] = ['requests', 'tokens', 'inputTokens', 'outputTokens'];

function windowsOf(
  document: WindowsDocument,
  { path, scope, title, isShadow, findings }: Place & { readonly scope: string },
): readonly WindowLimit[] {
  const { report, warnings } = findings;
  // A limit that is silently ignored is no limit.
  if (document.concurrency !== undefined) report([...path, 'concurrency'], 'is not built yet');
  return units.flatMap((unit) => {
    const windows = (document[unit] ?? []).map(
      ({ window: windowMs, limit, mode = 'enforce' }): WindowLimit =>
        Object.freeze({ scope, unit, windowMs, limit, mode: isShadow ? 'shadow' : mode }),
    );
    for (const [index, window] of windows.entries()) {
      const here = [...path, unit, index, 'window'];
      const length = formatDuration(window.windowMs);
      const same = windows.findIndex((other) => other.windowMs === window.windowMs);
      if (same < index) report(here, `${length} stands twice`);
      const wider = windows.find(
        (other) => other.windowMs > window.windowMs && isReachedFirst(other, window),
      );
      if (wider === undefined) continue;
      warnings.push(
        `${title}: ${describe(window)} can never bind, since ${describe(wider)} is reached first.`,
      );
    }
    return windows;
  });
}

/** Whether one limit is always reached before the other: no more units, in no less time. */
function isReachedFirst(wider: WindowLimit, narrower: WindowLimit): boolean {
  return wider.mode === 'enforce' && wider.windowMs >= narrower.windowMs && wider.limit <= narrower.limit;
}

function describe({ limit, unit, windowMs }: WindowLimit): string {
  return `${limit} ${unit} in ${formatDuration(windowMs)}`;
}

function notAPattern(text: string): string {
  return `${text} matches no model: it must be namespace/name in lower case, with stars for any characters`;
}
