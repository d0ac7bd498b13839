import type { Secret } from '../secret.ts';
import type { CheckAccess } from './access.ts';
import type { Asking } from './asking.ts';
import type { CheckInput } from './check-input.ts';
import type { CheckDenied } from './denied-list.ts';
import type { Identify } from './identity.ts';
import type { CheckLimit, Grant } from './limit.ts';
import type { Model } from './model.ts';
import {
  type Allowed,
  type Denied,
  isDenied,
  type Knowledge,
  type Outcome,
  type Refused,
} from './outcome.ts';
import type { CheckPresence } from './presence.ts';
import type { Principal } from './principal.ts';
import type { Route } from './route.ts';
import type { SubjectOf } from './subject.ts';
import type { Tier } from '../policy/policy.ts';
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

/** A request that was identified as far as its route asks for. */
interface Begun {
  readonly input: CheckInput;
  readonly asking: Asking;
  readonly route: Exclude<Route, 'public'>;
  readonly known: Knowledge;
}

interface Identified extends Begun {
  readonly principal: Principal;
}

interface Placed extends Identified {
  readonly subject: string;
  readonly tier: Tier;
}

interface Asked extends Placed {
  readonly model: Model;
}

/**
 * The request's way: credential, identity, presence, subject, tier, model, access, limit.
 *
 * Every stage lets the request go on or denies it. What could not tell is the stage's own to turn into a denial, so an
 * exception from here is a bug. Each function goes as far as to the next stage that may have to wait, and takes along what
 * is known by then; they are made once, since closures for each request took a third of a Check's own time.
 */
export function createCheck(stages: CheckStages, options: CheckOptions): Check {
  const { readRoute, readCredential, identify, checkPresence, subjectOf, checkDenied } = stages;
  const { assignTier, readModel, checkAccess, checkLimit } = stages;

  function begin(input: CheckInput): Answer {
    const deadlineAtMs = Math.min(options.now() + options.deadlineMs, input.deadlineAtMs - answerMarginMs);
    const asking: Asking = { source: input.source, deadlineAtMs };
    const route = readRoute(input);
    if (typeof route === 'object') return route;
    if (route === 'public') return allowed(route, nothingKnown);
    const token = readCredential(input);
    if (isDenied(token)) return token;
    return then(identify(token, asking), { input, asking, route, known: nothingKnown }, identified);
  }

  function identified(principal: Principal, { input, asking, route, known }: Begun): Answer {
    return then(checkPresence(principal, asking), { input, asking, route, known, principal }, present);
  }

  function present(_: Principal, identity: Identified): Answer {
    return then(subjectOf(identity.principal, identity.asking), identity, place);
  }

  function place(subject: string, { input, asking, route, principal }: Identified): Answer {
    const listed = checkDenied(principal, subject);
    if (isDenied(listed)) return refused(listed, { subject });
    const tier = assignTier(principal.groups);
    if (isDenied(tier)) return refused(tier, { subject });
    const known = { subject, tier: tier.name };
    if (route === 'identity') return admit({ input, asking, route, known, principal, subject, tier });
    const model = readModel(input);
    if (isDenied(model)) return refused(model, known);
    const all = { subject, tier: tier.name, model };
    const asked = { input, asking, route, known: all, principal, subject, tier, model };
    return then(checkAccess(principal, model, asking), asked, permitted);
  }

  function permitted(_: object, asked: Asked): Answer {
    const { principal, subject, tier, model, input, asking } = asked;
    const { deadlineAtMs } = asking;
    const grant = checkLimit({ principal, subject, tier, model, id: input.id, input, deadlineAtMs });
    return then(grant, asked, granted);
  }

  function granted(grant: Grant, asked: Asked): Answer {
    const holds = grant.slot !== undefined || grant.reservation !== undefined;
    return holds ? unlessDenied(grant, () => admit(asked, grant)) : admit(asked, grant);
  }

  /** Presence once more, and the denied list: for what was revoked while a stage waited. */
  function admit(placed: Placed, grant: Grant = nothingGranted): Answer {
    const { principal, asking } = placed;
    const presence = checkPresence(principal, asking);
    if (!(presence instanceof Promise)) return admitted(presence, placed, grant);
    return presence.then((told) => admitted(told, placed, grant));
  }

  function admitted(
    presence: Principal | Denied,
    { principal, subject, route, known }: Placed,
    grant: Grant,
  ) {
    if (isDenied(presence)) return refused(presence, known);
    const listed = checkDenied(principal, subject);
    return isDenied(listed) ? refused(listed, known) : allowed(route, known, grant);
  }

  return begin;
}

type Answer = Outcome | Promise<Outcome>;

/** Goes on with what a stage gave, at once or when it is there; a denial ends the way, with what was known by then. */
function then<Value extends object | string, On extends Begun>(
  stage: Value | Denied | Promise<Value | Denied>,
  on: On,
  next: (value: Value, on: On) => Answer,
): Answer {
  if (stage instanceof Promise) return stage.then((value) => then(value, on, next));
  return typeof stage === 'object' && isDenied(stage) ? refused(stage, on.known) : next(stage, on);
}

function refused(denial: Denied, known: Knowledge): Refused {
  return { ...denial, ...known };
}

const nothingKnown: Knowledge = {};
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
function unlessDenied({ slot, reservation }: Grant, decide: () => Answer): Answer {
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
