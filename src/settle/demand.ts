import type { CheckInput, MetadataScalar } from '../check/check-input.ts';
import type { TokenDemand } from '../check/token-demand.ts';

export type Demand = TokenDemand;

/** What Envoy's filters found in the request's body (namespace `tiergate`). */
export function readDemand({ metadata }: CheckInput): Demand {
  return {
    promptTokens: wholeNumber(metadata.get('prompt_tokens')),
    maxTokens: wholeNumber(metadata.get('max_tokens')),
    isStream: isTrue(metadata.get('stream')) ?? false,
    includesUsage: isTrue(metadata.get('include_usage')),
  };
}

function wholeNumber(scalar: MetadataScalar | undefined): number | undefined {
  const number = typeof scalar === 'string' && scalar !== '' ? Number(scalar) : scalar;
  return Number.isSafeInteger(number) && Number(number) >= 0 ? Number(number) : undefined;
}

/** json_to_metadata makes "1" and "0" of a JSON boolean where it is told to make strings. */
function isTrue(scalar: MetadataScalar | undefined): boolean | undefined {
  if (scalar === true || scalar === 'true' || scalar === '1') return true;
  return scalar === undefined ? undefined : false;
}
