import { Counter, Gauge, type Registry } from 'prom-client';
import type { BudgetRefusal } from '../check/review-budget.ts';

/** Questions to the API server that have a budget of their own. `presence`: GETs of what a token stands on. */
export type BudgetKind = 'token_review' | 'subject_access_review' | 'presence';

export interface ProtectionMetrics {
  readonly budgetObserver: (kind: BudgetKind) => (refusal: BudgetRefusal) => void;
  /** Asks when scraped. */
  readonly trackBudget: (
    kind: BudgetKind,
    budget: { readonly inFlight: () => number; readonly queued: () => number },
  ) => void;
  /** Asks when scraped. */
  readonly trackDenied: (size: () => number) => void;
  readonly accessForgotten: () => void;
}

/** What keeps the API server from too many questions, and revoked tokens out. */
export function createProtectionMetrics(registry: Registry): ProtectionMetrics {
  const registers = [registry];
  const refusals = new Counter({
    name: 'tiergate_review_budget_refused_total',
    help: 'Questions to the API server that were not asked, by what of their budget was spent.',
    labelNames: ['kind', 'spent'],
    registers,
  });
  const budgets = new Map<BudgetKind, Parameters<ProtectionMetrics['trackBudget']>[1]>();
  const inFlight = new Gauge({
    name: 'tiergate_reviews_in_flight',
    help: 'Questions to the API server that are under way.',
    labelNames: ['kind'],
    registers,
    collect: () => {
      for (const [kind, budget] of budgets) inFlight.set({ kind }, budget.inFlight());
    },
  });
  const queued = new Gauge({
    name: 'tiergate_reviews_queued',
    help: 'Questions to the API server that wait for their turn.',
    labelNames: ['kind'],
    registers,
    collect: () => {
      for (const [kind, budget] of budgets) queued.set({ kind }, budget.queued());
    },
  });
  let deniedSize = (): number => 0;
  const denied: Gauge = new Gauge({
    name: 'tiergate_denied_list_entries',
    help: 'Entries of the list of tiergate deny that have not ended.',
    aggregator: 'min',
    registers,
    collect: () => denied.set(deniedSize()),
  });
  const forgotten = new Counter({
    name: 'tiergate_access_changes_total',
    help: 'Changes of RBAC objects that had access verdicts forgotten.',
    registers,
  });
  return {
    budgetObserver(kind) {
      for (const spent of ['source', 'queue', 'wait']) refusals.inc({ kind, spent }, 0);
      return (spent) => refusals.inc({ kind, spent });
    },
    trackBudget: (kind, budget) => void budgets.set(kind, budget),
    trackDenied(size) {
      deniedSize = size;
    },
    accessForgotten: () => forgotten.inc(),
  };
}
