import { isResourceAccess } from './rbac.ts';
import { type RequestInfo, requestTarget, type ResourceVerb } from './request-info.ts';

export interface RequestCounter {
  readonly count: (info: RequestInfo) => void;
  /** Of a target as {@link requestTarget} names it, or of all for `*`; of every verb when none is given. */
  readonly read: (target: string, verb?: ResourceVerb) => number;
}

export function createRequestCounter(): RequestCounter {
  const counts = new Map<string, number>();
  const keyOf = (target: string, verb: string) => `${verb} ${target}`;

  return {
    count: (info) => {
      const verbs = isResourceAccess(info) ? ['*', info.verb] : ['*'];
      for (const target of ['*', requestTarget(info)])
        for (const verb of verbs) {
          const key = keyOf(target, verb);
          counts.set(key, (counts.get(key) ?? 0) + 1);
        }
    },
    read: (target, verb) => counts.get(keyOf(target, verb ?? '*')) ?? 0,
  };
}
