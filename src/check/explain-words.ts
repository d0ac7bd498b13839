import { formatDuration } from '../duration.ts';
import type { Policy, Tier, WindowLimit } from '../policy/policy.ts';
import { lineOfTier, lineOfWindow } from '../policy/place.ts';
import type { DenialReason } from './denial.ts';
import type { StageName } from './explanation.ts';
import type { Needed } from './explain-tokens.ts';
import type { Grant, WindowState } from './limit.ts';
import type { Model } from './model.ts';
import type { Denied, Outcome } from './outcome.ts';
import type { Principal } from './principal.ts';
import type { Route } from './route.ts';

/** What explanations are worded by. */
export interface ExplainWords {
  readonly policy: () => Policy;
  readonly audience: string;
  /** What is asked of RBAC about a model: verb, resource and its API group. */
  readonly access: { readonly group: string; readonly resource: string; readonly verb: string };
  /** Whether access tokens of this namespace are issued by us (or by MaaS before us). */
  readonly isTierNamespace: (namespace: string) => boolean;
}

/** A denial in the operator's words: with its cause, which no client is told. */
export function saidOf({ detail, cause }: Denied): string {
  if (cause === undefined) return detail;
  if (cause instanceof Error) return `${detail} (${cause.message})`;
  return typeof cause === 'string' ? `${detail} (${cause})` : detail;
}

/** One sentence or two about a stage that let the request pass. */
export function wordsOfPassed(stage: StageName, answer: unknown, words: ExplainWords): string {
  return passedWords[stage](answer as never, words);
}

type PassedWords = Readonly<Record<StageName, (answer: never, words: ExplainWords) => string>>;

const passedWords: PassedWords = {
  route: (route: Route) =>
    ({
      public: 'The path is public: nothing else is looked at.',
      identity: 'A token and a tier are enough for this path.',
      model: 'The path reads in one way only, and is for a model.',
    })[route],
  credential: () => 'Exactly one token.',
  identity: (principal: Principal) => {
    const { username, groups, expiresAtMs } = principal;
    const until = expiresAtMs === undefined ? '' : `, until ${new Date(expiresAtMs).toISOString()}`;
    return `${username}${until}; groups ${groups.length === 0 ? 'none' : groups.join(', ')}.`;
  },
  presence: ({ serviceAccount, secret }: Principal, { isTierNamespace }) => {
    if (serviceAccount === undefined || !isTierNamespace(serviceAccount.namespace)) {
      return 'Not a token of a tier namespace: nothing to look for.';
    }
    return secret === undefined
      ? 'Its ServiceAccount is there.'
      : 'Its ServiceAccount and its Secret are there.';
  },
  subject: (subject: string) => `Counted as ${subject}.`,
  deniedList: () => 'No entry of `tiergate deny` names them.',
  tier: ({ name, level, groups }: Tier, { policy }) => {
    const isDefault = policy().defaultTier?.name === name;
    const word = isDefault ? ', also the default tier' : '';
    return `${name}, level ${level}${word}; its groups are ${groups.join(', ')}.`;
  },
  model: ({ id }: Model) => `${id}.`,
  access: (_granted: object, { access }) => `RBAC lets them ${access.verb} ${access.resource} of that name.`,
  limit: ({ windows }: Grant) =>
    windows.length === 0
      ? 'Nothing limits them.'
      : `There is room: ${windows.map(wordsOfWindow).join('; ')}.`,
};

/** `4 of 5 requests in 2m left` */
function wordsOfWindow({ window, remaining, exceeded, isLocal }: WindowState): string {
  const { scope, unit, windowMs, limit, mode } = window;
  const of = scope === '*' ? '' : ` (${scope})`;
  const shadow = mode === 'shadow' ? `, shadow${exceeded ? ': would deny' : ''}` : '';
  const local = isLocal === true ? ', counted by this process alone' : '';
  return `${remaining} of ${limit} ${unit} in ${formatDuration(windowMs)} left${of}${shadow}${local}`;
}

/** Words about a denial of the limits need what the request would have taken. */
type ChangeWords = ExplainWords & { readonly needed: Needed | undefined };

/** What would turn a denial round. */
export function changeOf(
  denial: Denied,
  outcome: Outcome,
  words: ChangeWords,
): { readonly change: string } | undefined {
  const change = changes[denial.reason]?.(denial, outcome, words);
  return change === undefined ? undefined : { change };
}

type Change = (denial: Denied, outcome: Outcome, words: ChangeWords) => string | undefined;

const again: Change = ({ retryAfterMs }) =>
  retryAfterMs === undefined ? 'Ask again.' : `Ask again in ${formatDuration(retryAfterMs)}.`;

const full: Change = ({ windows = [], retryAfterMs }, { tier, subject }, { policy, needed }) => {
  const binding = windows.find(({ exceeded, window }) => exceeded && window.mode === 'enforce');
  if (binding === undefined) return undefined;
  const { window } = binding;
  const where = placeOf(policy(), tier, window);
  const wait =
    retryAfterMs === undefined
      ? 'A request costs more than the whole limit: no waiting helps'
      : `Wait, ${formatDuration(Math.ceil(retryAfterMs / 1000) * 1000)} at most`;
  const limit = `${window.limit} ${window.unit} in ${formatDuration(window.windowMs)}`;
  const isOwn = window.scope !== 'team' && window.scope !== 'capacity';
  const boost = isOwn && subject !== undefined ? `, or \`tiergate usage boost ${subject}\`` : '';
  const most = needed?.mostTokens(windows);
  const fewer = most === undefined ? '' : `Ask for at most ${most} (max_tokens): so many fit now. Or: `;
  return `${fewer}${wait}; or a higher limit than ${limit}${where}${boost}.`;
};

const tokenApi = 'POST /v1/tokens of the token API (/maas-api/v1/tokens at most gateways)';

const changes: Partial<Readonly<Record<DenialReason, Change>>> = {
  credential_missing: () => 'Send `Authorization: Bearer` with an access token: `tiergate token` prints one.',
  credential_malformed: () => 'Send exactly one access token: `tiergate token` prints one.',
  token_expired: () => `A new access token: ${tokenApi}.`,
  token_rejected: () => `An access token of this cluster: ${tokenApi}.`,
  token_revoked: ({ cause }) =>
    cause === undefined
      ? `A new access token: ${tokenApi}. What was revoked stays so.`
      : 'The end of that entry, or `tiergate deny lift`.',
  wrong_audience: (_denial, _outcome, { audience }) =>
    `A token for the audience ${audience}: exchange a token of the cluster at ${tokenApi}.`,
  no_tier: (_denial, _outcome, { policy }) => {
    const tiers = policy().tiers.map(
      ({ name, groups }) => `${name}${lineWords(lineOfTier(policy(), name))}: ${groups.join(', ')}`,
    );
    return `One of these groups, or policy.defaultTier in the process file. ${tiers.join('; ')}.`;
  },
  model_forbidden: (_denial, { tier, model }, { access }) =>
    `A RoleBinding in namespace ${model?.namespace} that lets a group of theirs ${access.verb} ${access.resource}.${access.group} ${model?.name}` +
    `${tier === undefined ? '' : ` (that of the tokens of tier ${tier})`}; and such a model, if there is none.`,
  model_unknown: () => 'A path (or header) that names a model: /<namespace>/<model>/v1/chat/completions.',
  path_invalid: () =>
    'A path without empty, dot and encoded segments, which Envoy and a model server read alike.',
  usage_required: () =>
    'A stream with stream_options.include_usage: true; or streamWithoutUsage of the tier.',
  requests_exceeded: full,
  tokens_exceeded: full,
  capacity_exceeded: full,
  concurrency_exceeded: (_denial, { tier }, { policy }) =>
    `The end of a request that is open; or a higher concurrency of tier ${tier}${lineWords(tier === undefined ? undefined : lineOfTier(policy(), tier))}.`,
  identity_unavailable: again,
  access_unavailable: again,
  limit_unavailable: again,
  overloaded: again,
};

function placeOf(policy: Policy, tier: string | undefined, window: WindowLimit): string {
  const line = lineWords(lineOfWindow(policy, tier, window));
  return line === '' && tier !== undefined ? ` (tier ${tier})` : line;
}

function lineWords(line: number | undefined): string {
  return line === undefined ? '' : ` (line ${line} of the policy document)`;
}
