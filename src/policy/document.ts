import { z } from 'zod';
import { parseDuration } from '../duration.ts';

/**
 * The policy document as operators write it: the list under the key `tiers` of the ConfigMap
 * `tier-to-group-mapping`, as existing installations have it, with limits added.
 */

const second = 1000;
const day = 86_400_000;

function duration(minMs: number, maxMs: number, bounds: string) {
  return z.string({ error: 'must be text with a unit, for example 2m' }).transform((text, context) => {
    let durationMs: number;
    try {
      durationMs = parseDuration(text);
    } catch (error) {
      context.addIssue({
        code: 'custom',
        message: error instanceof Error ? error.message : 'is not a duration',
      });
      return z.NEVER;
    }
    if (durationMs < minMs || durationMs > maxMs) {
      context.addIssue({ code: 'custom', message: `${text} is out of bounds: ${bounds}` });
      return z.NEVER;
    }
    return durationMs;
  });
}

const mode = z.enum(['enforce', 'shadow']);

/** Units of a window; an entry of tokens reaches the counters later than the slots of a shorter window leave it. */
function windowsFrom(minMs: number, bounds: string) {
  return z.array(
    z.strictObject({
      limit: z
        .int({ error: 'must be a whole number' })
        .min(1, { error: 'must be at least 1' })
        .max(1_000_000_000, { error: 'must be at most 1000000000' }),
      window: duration(minMs, 366 * day, bounds),
      mode: mode.optional(),
    }),
  );
}

const windows = windowsFrom(second, 'a window lasts from 1s to 366d');
const tokenWindows = windowsFrom(10 * second, 'a window of tokens lasts from 10s to 366d');

/** What a request, a model or a team may be limited by. */
const windowsByUnit = {
  requests: windows.optional(),
  tokens: tokenWindows.optional(),
  inputTokens: tokenWindows.optional(),
  outputTokens: tokenWindows.optional(),
  concurrency: z.unknown().optional(),
};

function orUnlimited<Limits extends z.ZodType>(limits: Limits) {
  return z.union([z.literal('unlimited'), limits], {
    error: (issue) =>
      typeof issue.input === 'object' ? undefined : 'must be the word unlimited, or windows under requests',
  });
}

const modelLimits = orUnlimited(
  z.strictObject({
    ...windowsByUnit,
    weight: z
      .int({ error: 'must be a whole number' })
      .min(1, { error: 'must be at least 1' })
      .max(1_000_000, { error: 'must be at most 1000000' })
      .optional(),
  }),
);

export const limitsSchema = orUnlimited(
  z.strictObject({
    ...windowsByUnit,
    requests: orUnlimited(windows).optional(),
    concurrency: z
      .int({ error: 'must be a whole number' })
      .min(1, { error: 'must be at least 1' })
      .max(100_000, { error: 'must be at most 100000' })
      .optional(),
    models: z.record(z.string(), modelLimits).optional(),
    shared: z
      .strictObject({ by: z.string({ error: 'is needed: group: and a pattern' }), ...windowsByUnit })
      .optional(),
  }),
);

const capacity = z.record(z.string(), orUnlimited(z.strictObject(windowsByUnit)));

/** RFC 1123 label, as it becomes part of a namespace's name. */
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

const tokenCount = z
  .int({ error: 'must be a whole number' })
  .min(0, { error: 'must be at least 0' })
  .max(1_000_000_000, { error: 'must be at most 1000000000' });

const reserve = z
  .strictObject({ promptTokens: tokenCount.default(1000), maxTokens: tokenCount.default(1000) })
  .prefault({});

const tier = z.strictObject({
  name: z
    .string({ error: 'is needed, as text' })
    .regex(label, { error: 'must be lower-case letters, digits and inner dashes (a DNS-1123 label)' }),
  displayName: z
    .string()
    .refine((text) => text.trim() !== '', { error: 'must not be blank' })
    .optional(),
  description: z.string().optional(),
  level: z.int({ error: 'must be a whole number' }).default(0),
  groups: z.array(z.string().min(1, { error: 'must not be empty' })).default([]),
  limits: limitsSchema.optional(),
  maxTokenLifetime: duration(600_000, 366 * day, 'a token lives from 10m to 366d').optional(),
  mode: mode.default('enforce'),
  reserve,
  streamWithoutUsage: z.enum(['estimate', 'deny']).default('estimate'),
  onStoreUnavailable: z.enum(['local', 'deny', 'allow']).optional(),
});

export const documentSchema = z.strictObject({
  tiers: z.array(tier, { error: 'must be a list of tiers' }).min(1, { error: 'must hold at least one tier' }),
  capacity: capacity.optional(),
});

export type PolicyDocument = z.output<typeof documentSchema>;
export type TierDocument = PolicyDocument['tiers'][number];
export type LimitsDocument = z.output<typeof limitsSchema>;
export type ModelLimitsDocument = z.output<typeof modelLimits>;
export type WindowsDocument = Pick<z.output<z.ZodObject<typeof windowsByUnit>>, keyof typeof windowsByUnit>;
