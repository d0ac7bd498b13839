import { isDependencyError } from '../dependency-error.ts';
import { parseDuration } from '../duration.ts';
import { type Denied, denied, isDenied } from '../check/outcome.ts';
import type { AdjustUsage, UsageTarget } from '../issue/adjust-usage.ts';
import type { Audit, AuditRecord } from '../issue/audit.ts';
import { invalidRequest } from '../issue/invalid-request.ts';
import type { Asked, Route } from './console.ts';
import { refusalFrom } from './refusal.ts';

export interface AdjustRoutesOptions {
  readonly adjustUsage: Omit<AdjustUsage, 'check'>;
  readonly audit: Audit;
  readonly now: () => number;
}

type Change = (
  target: UsageTarget,
  asked: Asked,
) => Promise<{ readonly result: object | Denied; readonly about?: Partial<AuditRecord> }>;

const longestReason = 500;

/** What an operator changes from the page: the same three things as `tiergate usage`, with the same audit record. */
export function createAdjustRoutes({ adjustUsage, audit, now }: AdjustRoutesOptions): readonly Route[] {
  function route(path: Route['path'], action: AuditRecord['action'], change: Change): Route {
    return {
      method: 'POST',
      path,
      right: 'change',
      async handle(asked) {
        const target = targetFrom(asked.body);
        if (isDenied(target)) return refusalFrom(target);
        const why = action === 'end_boost' ? undefined : reasonFrom(asked.body);
        if (why !== undefined && typeof why !== 'string') return refusalFrom(why);
        const record: Omit<AuditRecord, 'outcome'> = {
          action,
          actor: asked.principal.username,
          user: `${target.kind === 'user' ? '' : `${target.kind}:`}${target.name}`,
          tokenIds: [],
          ...(why !== undefined && { why }),
          source: asked.source,
          requestId: '',
        };
        try {
          const { result, about = {} } = await change(target, asked);
          audit({ ...record, ...about, outcome: isDenied(result) ? result.reason : 'done' });
          return isDenied(result) ? refusalFrom(result) : result;
        } catch (error) {
          audit({ ...record, outcome: isDependencyError(error) ? 'limit_unavailable' : 'internal' });
          throw error;
        }
      },
    };
  }

  return [
    route('/api/usage/boost', 'boost', async (target, { body }) => {
      const durationMs = durationFrom(body['duration']);
      if (typeof durationMs !== 'number') return { result: durationMs };
      const { percent } = body;
      if (typeof percent !== 'number')
        return { result: invalidRequest('percent', 'percent must be a number.') };
      const result = await adjustUsage.boost(target, { percent, durationMs });
      if (isDenied(result)) return { result };
      const expiresAtMs = now() + durationMs;
      return { result: { percent, expiresAtMs }, about: { percent, expiresAtMs } };
    }),
    route('/api/usage/end-boost', 'end_boost', async (target) => {
      await adjustUsage.endBoost(target);
      return { result: {} };
    }),
    route('/api/usage/reset', 'reset', async (target) => {
      await adjustUsage.reset(target);
      return { result: {} };
    }),
  ];
}

function targetFrom({ kind, name }: Asked['body']): UsageTarget | Denied {
  if (kind !== 'user' && kind !== 'group' && kind !== 'model') {
    return invalidRequest('kind', 'kind must be user, group or model.');
  }
  return typeof name === 'string' && name !== '' && name.length <= 512
    ? { kind, name }
    : invalidRequest('name', 'name must be text of 1 to 512 characters.');
}

function reasonFrom({ reason }: Asked['body']): string | Denied {
  return typeof reason === 'string' && reason.trim() !== '' && reason.length <= longestReason
    ? reason
    : invalidRequest('reason', `reason must say why, in 1 to ${longestReason} characters.`);
}

function durationFrom(text: unknown): number | Denied {
  try {
    return parseDuration(String(text));
  } catch (error) {
    if (error instanceof RangeError) return denied('request_invalid', error.message);
    throw error;
  }
}
