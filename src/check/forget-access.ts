import { namespaceOfAccess } from './access.ts';

export interface ForgetAccessOptions {
  /** Of the cache of access verdicts. */
  readonly forget: (matches: (key: string) => boolean) => void;
  /** Calls back after so many milliseconds; nothing needs to be called after the end. */
  readonly after: (delayMs: number, call: () => void) => void;
}

/** Tells that access rules of a namespace (undefined: of all) have changed. */
export type AccessChanged = (namespace: string | undefined) => void;

/** However many changes: the cache is gone through this seldom for them. */
const intervalMs = 100;

/**
 * The API server decides by a watch of its own, a few milliseconds beside ours, and its other replicas by theirs: a
 * verdict that was asked for at once may still be the old one. So what changed is forgotten twice more.
 */
const echoesMs = [150, 2_000];

/** Forgets verdicts of the namespaces whose rules changed: the first change at once, those of a storm together. */
export function createForgetAccess({ forget, after }: ForgetAccessOptions): AccessChanged {
  let changed = new Set<string | undefined>();
  let isWaiting = false;

  function forgetThese(namespaces: ReadonlySet<string | undefined>): void {
    const isAll = namespaces.has(undefined);
    forget((key) => isAll || namespaces.has(namespaceOfAccess(key)));
  }

  function flush(): void {
    const namespaces = changed;
    changed = new Set();
    isWaiting = namespaces.size > 0;
    if (!isWaiting) return;
    forgetThese(namespaces);
    for (const echoMs of echoesMs) after(echoMs, () => forgetThese(namespaces));
    after(intervalMs, flush);
  }

  return (namespace) => {
    changed.add(namespace);
    if (!isWaiting) flush();
  };
}
