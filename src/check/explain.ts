import type { CheckInput } from './check-input.ts';
import { createCheck, type CheckStages } from './check.ts';
import { denialStatus } from './denial.ts';
import type { ExplainedCaller, ExplainQuestion } from './explain-question.ts';
import { type Needed, neededBy } from './explain-tokens.ts';
import { changeOf, type ExplainWords, saidOf, wordsOfPassed } from './explain-words.ts';
import {
  type Explanation,
  type ExplainedStage,
  type ExplainedWindow,
  type Source,
  type StageName,
  stageNames,
} from './explanation.ts';
import { lineOfWindow } from '../policy/place.ts';
import type { Caller, WindowState } from './limit.ts';
import { type Denied, isDenied, type Outcome } from './outcome.ts';
import type { ReadTokenDemand } from './token-demand.ts';

/** What a stage tells beside its answer. */
export interface Noted {
  readonly source?: Source;
  /** Why it was not looked at; then its answer only lets the way go on. */
  readonly unknown?: string;
  /** In place of what its answer says. */
  readonly says?: string;
}

export type Note = (stage: StageName, noted: Noted) => void;

export interface ExplainOptions extends ExplainWords {
  /**
   * The stages of Check for one explanation. None of them charges anything, nor fills a cache that Check reads; who
   * answered is told to `note`.
   */
  readonly stagesFor: (caller: ExplainedCaller, note: Note) => CheckStages;
  /** Lower-case name of the header that a token of the question is put into. */
  readonly credentialHeader: string;
  readonly readTokenDemand: ReadTokenDemand;
  /** As that of Check: what can not be told by then is told as such. */
  readonly deadlineMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/**
 * Whether Check would let a request pass, stage by stage: by Check's own order, over Check's own stages. Never rejects but
 * for a bug.
 */
export type Explain = (question: ExplainQuestion) => Promise<Explanation>;

/** Budgets of reviews are shared out between sources: explanations are one of them. */
const explainSource = 'explain';

export function createExplain(options: ExplainOptions): Explain {
  const { stagesFor, credentialHeader, deadlineMs, now } = options;
  return async (question) => {
    const at = new Date(now()).toISOString();
    const trail = createTrail(options);
    const stages = recording(stagesFor(question.caller, trail.note), trail);
    const outcome = await createCheck(stages, { deadlineMs, now })(inputOf(question, credentialHeader));
    return { at, ...explanationOf(question, outcome, trail, options) };
  };
}

function inputOf(question: ExplainQuestion, credentialHeader: string): CheckInput {
  const { caller, method, path, context, metadata, bodyBytes } = question;
  const headers = new Map(question.headers);
  if (caller.kind === 'token') {
    const token = caller.token.reveal();
    headers.set(credentialHeader, credentialHeader === 'authorization' ? `Bearer ${token}` : token);
  }
  return {
    id: '',
    method,
    path,
    headers,
    forgedHeaders: [],
    contextExtensions: context,
    metadata,
    bodyBytes,
    source: explainSource,
    deadlineAtMs: Number.POSITIVE_INFINITY,
  };
}

interface Trail {
  readonly note: Note;
  /** Keeps what a stage answered; the last answer of a stage that is asked twice counts. */
  readonly keep: <T>(stage: StageName, answer: T | Denied) => T | Denied;
  readonly keepCaller: (caller: Caller) => void;
  readonly stages: (outcome: Outcome) => readonly ExplainedStage[];
  /** Undefined where the way ended before the limits. */
  readonly needed: () => Needed | undefined;
}

function createTrail(words: ExplainOptions): Trail {
  const notedBy = new Map<StageName, Noted>();
  const answers = new Map<StageName, unknown>();
  let needed: Needed | undefined;

  function explained(stage: StageName, outcome: Outcome): ExplainedStage {
    const { source, unknown, says } = notedBy.get(stage) ?? {};
    const from = { ...(source !== undefined && { source }) };
    if (!answers.has(stage)) return { stage, verdict: 'notReached', says: 'The way ended before.' };
    const answer = answers.get(stage);
    const tokens = stage === 'limit' ? needed?.words(outcome.windows ?? []) : undefined;
    const withTokens = (said: string) => (tokens ? `${said} ${tokens}` : said);
    if (isAnyDenied(answer)) {
      const { reason } = answer;
      const verdict = denialStatus[reason].http === 503 ? 'couldNotTell' : 'denied';
      const change = changeOf(answer, outcome, { ...words, needed });
      return { stage, verdict, reason, says: withTokens(saidOf(answer)), ...from, ...change };
    }
    if (unknown !== undefined) return { stage, verdict: 'unknown', says: withTokens(unknown), ...from };
    return {
      stage,
      verdict: 'passed',
      says: withTokens(says ?? wordsOfPassed(stage, answer, words)),
      ...from,
    };
  }

  return {
    note: (stage, noted) => void notedBy.set(stage, { ...notedBy.get(stage), ...noted }),
    keep(stage, answer) {
      answers.set(stage, answer);
      return answer;
    },
    keepCaller(caller) {
      needed = neededBy(caller, words.readTokenDemand);
    },
    needed: () => needed,
    stages: (outcome) => stageNames.map((stage) => explained(stage, outcome)),
  };
}

/** The same stages, whose answers are kept. */
function recording(stages: CheckStages, { keep, keepCaller }: Trail): CheckStages {
  function later<T>(
    stage: StageName,
    answer: T | Denied | Promise<T | Denied>,
  ): T | Denied | Promise<T | Denied> {
    return answer instanceof Promise ? answer.then((made) => keep(stage, made)) : keep(stage, answer);
  }
  return {
    readRoute: (input) => keep('route', stages.readRoute(input)),
    readCredential: (input) => keep('credential', stages.readCredential(input)),
    identify: (...asked) => later('identity', stages.identify(...asked)),
    checkPresence: (...asked) => later('presence', stages.checkPresence(...asked)),
    subjectOf: (...asked) => later('subject', stages.subjectOf(...asked)),
    checkDenied: (...asked) => keep('deniedList', stages.checkDenied(...asked)),
    assignTier: (groups) => keep('tier', stages.assignTier(groups)),
    readModel: (input) => keep('model', stages.readModel(input)),
    checkAccess: (...asked) => later('access', stages.checkAccess(...asked)),
    checkLimit(caller) {
      keepCaller(caller);
      return later('limit', stages.checkLimit(caller));
    },
  };
}

function explanationOf(
  question: ExplainQuestion,
  outcome: Outcome,
  trail: Pick<Trail, 'stages' | 'needed'>,
  { policy }: ExplainWords,
): Omit<Explanation, 'at'> {
  const { method, path, caller } = question;
  const { subject, tier, model } = outcome;
  const stages = trail.stages(outcome);
  const needed = trail.needed();
  const isUnknown = !outcome.denied && stages.some(({ verdict }) => verdict === 'unknown');
  const isLookedAt = stages.some(({ stage, verdict }) => stage === 'limit' && verdict !== 'unknown');
  const windows = (outcome.windows ?? []).map((state) =>
    windowOf(state, isLookedAt ? needed : undefined, lineOfWindow(policy(), tier, state.window)),
  );
  return {
    request: { method, path },
    caller: caller.kind === 'user' ? { user: caller.user, groups: caller.groups } : caller.kind,
    ...(isUnknown ? { verdict: 'unknown' } : verdictOf(outcome)),
    ...(subject !== undefined && { subject }),
    ...(tier !== undefined && { tier }),
    ...(model !== undefined && { model: model.id }),
    stages,
    windows,
  };
}

function verdictOf(outcome: Outcome): Pick<Explanation, 'verdict' | 'status' | 'reason' | 'message'> {
  if (!outcome.denied) return { verdict: 'allowed', status: 200 };
  const { reason, detail, retryAfterMs } = outcome;
  return {
    verdict: 'denied',
    status: denialStatus[reason].http,
    reason,
    message: detail,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function windowOf(
  { window, remaining, resetAfterMs, exceeded }: WindowState,
  /** Undefined where the counters were not looked at. */
  needed: Needed | undefined,
  line: number | undefined,
): ExplainedWindow {
  const { scope, unit, windowMs, mode, limit } = window;
  return {
    scope,
    unit,
    windowMs,
    mode,
    limit,
    ...(needed !== undefined && { remaining, needed: needed.unitsIn(window), resetAfterMs, exceeded }),
    ...(line !== undefined && { line }),
  };
}

function isAnyDenied(answer: unknown): answer is Denied {
  return typeof answer === 'object' && answer !== null && isDenied(answer);
}
