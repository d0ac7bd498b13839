import { modelLimitsOf } from '../policy/resolve.ts';
import type { WindowLimit } from '../policy/policy.ts';
import type { Caller, WindowState } from './limit.ts';
import { type TokenCounts, tokensToReserve, unitsOf } from './reservation.ts';
import type { ReadTokenDemand, TokenDemand } from './token-demand.ts';

/** What Check takes a request to need of its windows. */
export interface Needed {
  readonly unitsIn: (window: WindowLimit) => number;
  /** One sentence about its tokens; empty where none of the windows counts any. */
  readonly words: (windows: readonly WindowState[]) => string;
  /** The most that the request may ask for as things stand; undefined where asking for less does not let it pass. */
  readonly mostTokens: (windows: readonly WindowState[]) => number | undefined;
}

export function neededBy(
  { tier, model, input }: Pick<Caller, 'tier' | 'model' | 'input'>,
  readTokenDemand: ReadTokenDemand,
): Needed {
  const demand = readTokenDemand(input);
  const tokens = tokensToReserve(demand, tier.reserve);
  const weight = modelLimitsOf(tier, model.id)?.weight ?? 1;
  const weightIn = ({ scope }: WindowLimit) => (scope === 'capacity' ? 1 : weight);

  return {
    unitsIn: (window) => unitsOf(window.unit, weightIn(window), tokens),
    words: (windows) => (windows.some(countsTokens) ? wordsOf(demand, tokens) : ''),
    mostTokens(windows) {
      const enforced = windows.filter(({ window }) => window.mode === 'enforce');
      const binding = enforced.filter(({ exceeded }) => exceeded);
      if (tokens.outputTokens === 0 || binding.length === 0 || !binding.every(countsAnswers))
        return undefined;
      const room = enforced.filter(countsAnswers).map(({ window, remaining }) => {
        const fitting = Math.floor(remaining / weightIn(window));
        return fitting - (window.unit === 'tokens' ? tokens.inputTokens : 0);
      });
      const most = Math.floor(Math.min(...room) / demand.answers);
      return most >= 1 ? most : undefined;
    },
  };
}

function countsTokens({ window }: WindowState): boolean {
  return window.unit !== 'requests';
}

function countsAnswers({ window }: WindowState): boolean {
  return window.unit === 'tokens' || window.unit === 'outputTokens';
}

function wordsOf(demand: TokenDemand, { tokens, inputTokens, outputTokens }: TokenCounts): string {
  const { answers, maxTokens, promptTokens } = demand;
  const prompt =
    promptTokens === undefined ? 'reserve.promptTokens of the tier' : 'a quarter of the bytes of its body';
  const times = answers === 1 ? '' : `${answers} answers, `;
  const limit = maxTokens === undefined ? 'reserve.maxTokens of the tier' : 'what it asks for';
  return `It reserves ${tokens} tokens: ${inputTokens} for the prompt (${prompt}), ${outputTokens} for the answer (${times}${limit}).`;
}
