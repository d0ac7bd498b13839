import type { DocumentStore } from '../../src/register/document-store.ts';
import type { Administration, Registration } from '../../src/register/registration.ts';

/** The process died: thrown by every call from then on, and caught by nobody but the test. */
export class Crash extends Error {}

export interface CrashPoint {
  /** The call at which it happens, counted from 1 over all ports. */
  readonly call: number;
  /** Before the call has an effect, or after it, so that the answer is lost. */
  readonly when: 'before' | 'after';
  /** Calls that count, by their name in messages. Default all. */
  readonly isCounted?: (step: string) => boolean;
}

export interface CrashingPorts {
  readonly store: (inner: DocumentStore) => DocumentStore;
  readonly registration: (inner: Registration) => Registration;
  readonly administration: (inner: Administration) => Administration;
  /** Undefined: the run made fewer calls than that. */
  readonly crashedIn: () => string | undefined;
}

/** Ports of a process that dies at one given call. */
export function createCrashingPorts(point: CrashPoint): CrashingPorts {
  let calls = 0;
  let crashedIn: string | undefined;

  const mortal =
    <A extends readonly unknown[], R>(name: string, inner: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (crashedIn !== undefined) throw new Crash();
      if (point.isCounted?.(name) === false) return inner(...args);
      calls += 1;
      const isLast = calls === point.call;
      if (isLast) crashedIn = `${point.when} ${name}`;
      if (isLast && point.when === 'before') throw new Crash();
      const result = await inner(...args);
      // Calls run side by side: the process may have died in another one meanwhile.
      if (crashedIn !== undefined) throw new Crash();
      return result;
    };

  return {
    store: (inner) => ({
      list: mortal('list', inner.list),
      read: mortal('read', inner.read),
      write: mortal('write', inner.write),
      remove: mortal('remove', inner.remove),
    }),
    registration: (inner) => ({
      ...inner,
      register: mortal('register', inner.register),
      read: mortal('get', inner.read),
      update: mortal('put', inner.update),
      remove: mortal('delete', inner.remove),
      find: mortal('find', inner.find),
      probe: mortal('probe', inner.probe),
    }),
    administration: (inner) => ({
      recoverClient: mortal('recover', inner.recoverClient),
      listTokens: mortal('listTokens', inner.listTokens),
      createToken: mortal('createToken', inner.createToken),
      revokeToken: mortal('revokeToken', inner.revokeToken),
    }),
    crashedIn: () => crashedIn,
  };
}
