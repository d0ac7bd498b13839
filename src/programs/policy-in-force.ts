import type { ParsedPolicy, PolicyMistake } from '../policy/parse-policy.ts';
import type { Policy } from '../policy/policy.ts';
import type { Events } from '../process/events.ts';
import type { Metrics } from '../process/metrics.ts';
import type { Readiness } from '../process/readiness.ts';

/** The policy in force, whichever it is at the moment. */
export interface PolicySource {
  /** One frozen snapshot: whoever needs it twice for one request asks once. */
  readonly current: () => Policy;
  /** Told after each change; not of what was in force before. */
  readonly onChange: (listener: (policy: Policy) => void) => void;
}

export type PolicyHealth = Pick<Readiness<'policy'>, 'ready' | 'degraded'>;

export interface PolicyObservers {
  readonly events: Pick<Events, 'policyLoaded' | 'policyRefused'>;
  readonly metrics: Pick<Metrics, 'policyLoaded' | 'policyRefused'>;
  readonly health: PolicyHealth;
}

export interface PolicyInForce extends PolicySource {
  /** A new document: valid, it is in force at once; otherwise what is in force stays. The words say why it was refused. */
  readonly offer: (parsed: ParsedPolicy) => string | undefined;
  /** There is no document to be had any more, in words: what is in force stays. */
  readonly keep: (why: string) => void;
}

/** More than a screen of mistakes is read in the log, where all of them are. */
const mistakesInWords = 5;

/**
 * Holds the policy in force, and tells of everything that happens to it: metrics, log and the part `policy` of
 * `/readyz`, which is degraded for as long as the newest document is not the one in force.
 */
export function createPolicyInForce(first: Policy, observers: PolicyObservers): PolicyInForce {
  const { events, metrics, health } = observers;
  const listeners: ((policy: Policy) => void)[] = [];
  let policy = first;
  let generation = 1;

  function tellLoaded(): void {
    const { tiers, warnings } = policy;
    metrics.policyLoaded({ generation, tiers: tiers.length, warnings: warnings.length });
    events.policyLoaded({ generation, tiers: tiers.length, warnings });
    health.ready('policy');
  }

  function refuse(mistakes: readonly PolicyMistake[], words: string): string {
    const said = `${words}; generation ${generation} stays in force`;
    metrics.policyRefused();
    events.policyRefused({ mistakes });
    health.degraded('policy', said);
    return said;
  }

  tellLoaded();
  return {
    current: () => policy,
    onChange: (listener) => void listeners.push(listener),
    offer(parsed) {
      if (!parsed.valid)
        return refuse(parsed.mistakes, `the newest document is refused: ${wordsOfMistakes(parsed.mistakes)}`);
      policy = parsed.policy;
      generation += 1;
      tellLoaded();
      for (const listener of listeners) listener(policy);
      return undefined;
    },
    keep: (why) => void refuse([{ path: '', message: why }], `the document ${why}`),
  };
}

function wordsOfMistakes(mistakes: readonly PolicyMistake[]): string {
  const words = mistakes.slice(0, mistakesInWords).map(({ path, line, message }) => {
    const where = [...(line === undefined ? [] : [`line ${line}`]), ...(path === '' ? [] : [path])].join(
      ', ',
    );
    return where === '' ? message : `${where}: ${message}`;
  });
  const more = mistakes.length - words.length;
  return more > 0 ? `${words.join('; ')}; and ${more} more` : words.join('; ');
}
