import { capacityOf, type Findings, limitsOf, type ReportMistake } from './create-limits.ts';
import type { LimitsDocument, PolicyDocument, TierDocument } from './document.ts';
import type { Policy, Tier } from './policy.ts';

export interface PolicyOptions {
  /** Tier namespaces are `<instance>-tier-<tier>`. */
  readonly instance: string;
  /** For tiers without limits of their own. */
  readonly defaultLimits: LimitsDocument;
  /** Name of the tier of callers whose groups belong to none; undefined denies them. */
  readonly defaultTier: string | undefined;
  /** Why no tier may limit open requests, where that is so: nobody would tell of their end. */
  readonly noConcurrency?: string | undefined;
}

/** Of a Kubernetes name that is a label: RFC 1123. */
const maxNamespaceLength = 63;

/** The namespace in which a tier's tokens are issued. */
export function tierNamespace(instance: string, tier: string): string {
  return `${instance}-tier-${tier}`;
}

/** Cross-checks a document and makes it a Policy. What it reports makes the result void. */
export function createPolicy(
  document: PolicyDocument,
  options: PolicyOptions,
  report: ReportMistake,
): Policy {
  const warnings: string[] = [];
  const findings: Findings = { report, warnings };
  checkNames(document.tiers, options.instance, report);
  const ranks = rankByLevel(document.tiers, warnings);
  const tiers = document.tiers.map((tier, at): Tier => {
    if (tier.groups.length === 0)
      warnings.push(`Tier ${tier.name} has no groups: only its own tokens belong to it.`);
    return Object.freeze({
      name: tier.name,
      displayName: tier.displayName ?? tier.name,
      description: tier.description ?? '',
      level: tier.level,
      rank: ranks.get(tier) ?? at,
      groups: [...tier.groups, `system:serviceaccounts:${tierNamespace(options.instance, tier.name)}`],
      ...limitsOf(tier, at, options.defaultLimits, findings),
      reserve: Object.freeze(tier.reserve),
      streamWithoutUsage: tier.streamWithoutUsage,
      onStoreUnavailable: tier.onStoreUnavailable,
      maxTokenLifetimeMs: tier.maxTokenLifetime,
    });
  });
  for (const [at, { concurrency }] of tiers.entries()) {
    if (concurrency === undefined || options.noConcurrency === undefined) continue;
    report(['tiers', at, 'limits', 'concurrency'], options.noConcurrency);
  }
  const defaultTier = tiers.find((tier) => tier.name === options.defaultTier);
  if (options.defaultTier !== undefined && defaultTier === undefined) {
    report(['tiers'], `the default tier ${options.defaultTier} is not among the tiers`);
  }
  const capacity = capacityOf(document.capacity ?? {}, findings);
  return Object.freeze({ tiers, tierByGroup: indexByGroup(tiers), capacity, defaultTier, warnings });
}

function rankByLevel(tiers: readonly TierDocument[], warnings: string[]): ReadonlyMap<TierDocument, number> {
  // Stable: among equal levels the first in the document wins, as it always did.
  const ranked = [...tiers].sort((a, b) => b.level - a.level);
  for (const [at, tier] of ranked.entries()) {
    const before = ranked[at - 1];
    if (before?.level === tier.level) {
      warnings.push(`Tiers ${before.name} and ${tier.name} share level ${tier.level}: ${before.name} wins.`);
    }
  }
  return new Map(ranked.map((tier, rank) => [tier, rank]));
}

/** Two installations in one cluster must never share a namespace: `a-tier` + `b` is `a` + `tier-b`. */
export function checkNames(
  tiers: readonly { readonly name: string }[],
  instance: string,
  report: ReportMistake,
): void {
  if (`${instance}-`.includes('-tier-')) {
    report(['instance'], `${instance} must neither contain -tier- nor end in -tier`);
  }
  for (const [at, { name }] of tiers.entries()) {
    // That it is missing is the schema's to say.
    if (name === '') continue;
    const path = ['tiers', at, 'name'];
    const namespace = tierNamespace(instance, name);
    if (tiers.findIndex((other) => other.name === name) < at)
      report(path, `${name} is the name of another tier`);
    if (name.includes('-tier-')) report(path, `${name} must not contain -tier-`);
    if (namespace.length > maxNamespaceLength) {
      report(path, `the namespace ${namespace} would be longer than ${maxNamespaceLength} characters`);
    }
  }
}

function indexByGroup(tiers: readonly Tier[]): ReadonlyMap<string, Tier> {
  const byGroup = new Map<string, Tier>();
  for (const tier of [...tiers].sort((a, b) => b.rank - a.rank)) {
    for (const group of tier.groups) byGroup.set(group, tier);
  }
  return byGroup;
}
