import type { Secret } from '../secret.ts';
import type { CheckAccess } from './access.ts';
import type { Asking } from './asking.ts';
import type { CheckInput } from './check-input.ts';
import type { CheckDenied } from './denied-list.ts';
import type { Identify } from './identity.ts';
import type { CheckLimit, Grant } from './limit.ts';
import type { Model } from './model.ts';
import { type Allowed, type Denied, isDenied, type Knowledge, type Outcome } from './outcome.ts';
import type { CheckPresence } from './presence.ts';
import type { Route } from './route.ts';
import type { SubjectOf } from './subject.ts';
import type { AssignTier } from './tier.ts';

export interface CheckStages {
  readonly readRoute: (input: CheckInput) => Route | Denied;
  readonly readCredential: (input: CheckInput) => Secret | Denied;
  readonly identify: Identify;
  readonly checkPresence: CheckPresence;
  readonly subjectOf: SubjectOf;
  readonly checkDenied: CheckDenied;
  readonly assignTier: AssignTier;
  readonly readModel: (input: CheckInput) => Model | Denied;
  readonly checkAccess: CheckAccess;
  readonly checkLimit: CheckLimit;
}

export interface CheckOptions {
  /** The longest a Check may take, in milliseconds. */
  readonly deadlineMs: number;
  readonly now: () => number;
}

/** Synchronous as long as no stage has to wait: then the whole way is one call. */
export type Check = (input: CheckInput) => Outcome | Promise<Outcome>;

/** Left to the door and the network, so that our own answer is there before the caller gives up. */
const answerMarginMs = 20;

/**
 * The request's way: credential, identity, presence, subject, tier, model, access, limit.
 *
 * Every stage lets the request go on or denies it. What could not tell is the stage's own to turn into a
 * denial, so an exception from here is a bug.
 */
export function createCheck(stages: CheckStages, options: CheckOptions): Check {
  const { readRoute, readCredential, identify, checkPresence, subjectOf, checkDenied } = stages;
  const { assignTier, readModel, checkAccess, checkLimit } = stages;
  return (input) => {
    const deadlineAtMs = Math.min(options.now() + options.deadlineMs, input.deadlineAtMs - answerMarginMs);
    const asking: Asking = { source: input.source, deadlineAtMs };

    // One stage a line; each goes on only with what the one before gave.
    return pass(readRoute(input), {}, (route) => {
      if (route === 'public') return allowed(route, {});
      return pass(readCredential(input), {}, (token) =>
        pass(identify(token, asking), {}, (principal) =>
          pass(checkPresence(principal, asking), {}, () =>
            pass(subjectOf(principal, asking), {}, (subject) =>
              pass(checkDenied(principal, subject), { subject }, () =>
                pass(assignTier(principal.groups), { subject }, (tier) => {
                  const caller = { subject, tier: tier.name };
                  // Once more, for what was revoked while a stage waited.
                  const admit = (kind: 'identity' | 'model', known: Knowledge, grant?: Grant) =>
                    pass(checkPresence(principal, asking), known, () =>
                      pass(checkDenied(principal, subject), known, () => allowed(kind, known, grant)),
                    );
                  if (route === 'identity') return admit(route, caller);
                  return pass(readModel(input), caller, (model) => {
                    const known = { ...caller, model };
                    return pass(checkAccess(principal, model, asking), known, () =>
                      pass(
                        checkLimit({ principal, subject, tier, model, id: input.id, input, deadlineAtMs }),
                        known,
                        (grant) => unlessDenied(grant, () => admit('model', known, grant)),
                      ),
                    );
                  });
                }),
              ),
            ),
          ),
        ),
      );
    });
  };
}

/** Goes on with what a stage gave, at once or when it is there; a denial ends the way, with what was known by then. */
function pass<T extends object | string>(
  stage: T | Denied | Promise<T | Denied>,
  known: Knowledge,
  next: (value: T) => Outcome | Promise<Outcome>,
): Outcome | Promise<Outcome> {
  if (stage instanceof Promise) return stage.then((value) => pass(value, known, next));
  if (typeof stage === 'object' && isDenied(stage)) return { ...stage, ...known };
  return next(stage);
}

const nothingGranted: Grant = { windows: [] };

function allowed(kind: Allowed['kind'], known: Knowledge, grant: Grant = nothingGranted): Allowed {
  const { windows, slot, reservation } = grant;
  if (slot === undefined && reservation === undefined) return { denied: false, kind, ...known, windows };
  return {
    denied: false,
    kind,
    ...known,
    windows,
    ...(slot !== undefined && { slotId: slot.id }),
    ...(reservation !== undefined && {
      reservation: { id: reservation.id, tokens: reservation.tokens.tokens },
    }),
  };
}

/** Gives the slot and the tokens back of a request that is not let through after all. */
function unlessDenied(
  { slot, reservation }: Grant,
  decide: () => Outcome | Promise<Outcome>,
): Outcome | Promise<Outcome> {
  if (slot === undefined && reservation === undefined) return decide();
  const giveBack = (): void => {
    slot?.giveBack();
    reservation?.giveBack();
  };
  const settle = (outcome: Outcome): Outcome => {
    if (outcome.denied) giveBack();
    return outcome;
  };
  const fail = (error: unknown): never => {
    giveBack();
    throw error;
  };
  try {
    const outcome = decide();
    return outcome instanceof Promise ? outcome.then(settle, fail) : settle(outcome);
  } catch (error) {
    return fail(error);
  }
}
