import { type DependencyError, isDependencyError } from '../dependency-error.ts';
import type { Secret } from '../secret.ts';
import type { DocumentStore, StoredDocument } from './document-store.ts';
import { refusalOf } from './iat-acceptance.ts';
import { complaintAbout, complaintFrom, type IatProblem, type IatState, type Instance } from './iat-state.ts';
import { decodeIat, type IatClaims, readHeldIat, replaceHeldIat } from './iat-token.ts';
import type { Ledger } from './ledger.ts';
import type { Administration, ListedToken, ProbeInitialAccessToken } from './registration.ts';

export interface IatLifeOptions {
  readonly instance: Instance;
  /** Where the token is kept, and under which key. */
  readonly store: DocumentStore;
  readonly key: string;
  /** Field of the document for a token in neither of the known shapes. */
  readonly field: string;
  readonly probe: ProbeInitialAccessToken;
  /** Undefined: the realm is not ours to administer; renewal is by ticket. */
  readonly administration: Administration | undefined;
  readonly ledger: Ledger;
  readonly now: () => number;
}

export type Replacement =
  | { readonly outcome: 'replaced'; readonly claims: IatClaims }
  /** Nothing was changed. `detail` is a sentence. */
  | { readonly outcome: 'refused'; readonly detail: string };

/** The life of one instance's Initial Access Token. */
export interface IatLife {
  readonly instance: Instance;
  /** Never throws: what could not be found out is part of the state. Changes and consumes nothing. */
  readonly inspect: (signal: AbortSignal) => Promise<IatState>;
  /** Puts a token that came from elsewhere in the stored one's place. Throws DependencyError. */
  readonly replace: (token: Secret, acceptShorter: boolean, signal: AbortSignal) => Promise<Replacement>;
  /** Has the realm's administration make a new one and puts it in place. Throws DependencyError. */
  readonly renew: (signal: AbortSignal) => Promise<Replacement>;
  /** Revokes the token before the stored one, if the state names it. Throws DependencyError. */
  readonly revokePrevious: (state: IatState, signal: AbortSignal) => Promise<boolean>;
}

export function createIatLife(options: IatLifeOptions): IatLife {
  const { instance, store, key, field, administration, now } = options;

  const put = async (
    next: Secret,
    found: StoredDocument | undefined,
    signal: AbortSignal,
  ): Promise<'stored' | 'conflict' | DependencyError> => {
    const content = replaceHeldIat(found?.content, field, next);
    try {
      if ((await store.write(key, content, found?.version, signal)) === undefined) return 'conflict';
    } catch (error) {
      // A write whose answer was lost may have happened; the read below tells, or throws for both.
      if (!isDependencyError(error)) throw error;
      return (await isStored(next, signal)) ? 'stored' : error;
    }
    return (await isStored(next, signal)) ? 'stored' : 'conflict';
  };

  const isStored = async (token: Secret, signal: AbortSignal): Promise<boolean> => {
    const found = await store.read(key, signal);
    const held = found && readHeldIat(found.content, field);
    return held?.token.reveal() === token.reveal();
  };

  const takenOver: Replacement = {
    outcome: 'refused',
    detail: 'Somebody else changed the stored token at the same time; look at it and run this again.',
  };

  return {
    instance,
    inspect: (signal) => inspectIat(options, signal),

    replace: async (token, acceptShorter, signal) => {
      const found = await store.read(key, signal);
      const held = found && readHeldIat(found.content, field);
      const current = held && decodeIat(held.token);
      const refusal = refusalOf({ token, current, instance, acceptShorter, nowMs: now() });
      if (refusal !== undefined) return { outcome: 'refused', detail: refusal };
      const probed = await options.probe(token, signal);
      if (probed !== 'usable') {
        const { detail } = complaintFrom(probed, false);
        return { outcome: 'refused', detail: `The token is refused: ${detail}.` };
      }
      const outcome = await put(token, found, signal);
      if (outcome === 'conflict') return takenOver;
      if (outcome !== 'stored') throw outcome;
      return replaced(token);
    },

    renew: async (signal) => {
      if (administration === undefined) {
        const detail = `No administrator's account is configured for ${instance.name}: ask for a token with \`iat ticket\`.`;
        return { outcome: 'refused', detail };
      }
      const found = await store.read(key, signal);
      const created = await administration.createToken(instance.lifeMs, instance.clients, signal);
      const probed = await options.probe(created.token, signal);
      if (probed !== 'usable') {
        await administration.revokeToken(created.id, signal);
        const detail = `The realm made a token and then refused it: ${complaintFrom(probed, false).detail}.`;
        return { outcome: 'refused', detail };
      }
      // If this throws the token stays: it may be the one that is stored, and ends by itself if it is not.
      const outcome = await put(created.token, found, signal);
      if (outcome === 'stored') return replaced(created.token);
      // Not in place: or each pass would leave one more behind that nobody knows of.
      await administration.revokeToken(created.id, signal);
      if (outcome === 'conflict') return takenOver;
      throw outcome;
    },

    revokePrevious: async (state, signal) => {
      if (administration === undefined || state.revocableId === undefined) return false;
      await administration.revokeToken(state.revocableId, signal);
      return true;
    },
  };
}

function replaced(token: Secret): Replacement {
  const claims = decodeIat(token);
  if (claims === undefined) throw new TypeError('a token was stored that can not be decoded');
  return { outcome: 'replaced', claims };
}

const unknownState: IatState = {
  problem: undefined,
  detail: undefined,
  token: undefined,
  claims: undefined,
  remaining: undefined,
  remainingSource: undefined,
  isProbed: false,
  revocableId: undefined,
};

async function inspectIat(options: IatLifeOptions, signal: AbortSignal): Promise<IatState> {
  const { instance, store, key, field } = options;
  const stopped = (problem: IatProblem, detail: string): IatState => ({ ...unknownState, problem, detail });
  let found: StoredDocument | undefined;
  try {
    found = await store.read(key, signal);
  } catch (error) {
    if (!isDependencyError(error)) throw error;
    return stopped('unreadable', `it could not be read (${error.dependency} ${error.code})`);
  }
  if (found === undefined) return stopped('missing', `nothing is stored at ${key}`);
  const held = readHeldIat(found.content, field);
  if (held === undefined) return stopped('malformed', `what is stored at ${key} holds no token`);
  const claims = decodeIat(held.token);
  const counts = await countUses(options, claims?.id, signal);
  const state: IatState = {
    ...unknownState,
    token: held.token,
    claims,
    remaining: counts.remaining,
    remainingSource: counts.source,
    revocableId: revocable(held.previous, claims, counts.listed),
  };
  const complaint = complaintAbout(held.token, instance, options.now());
  if (complaint !== undefined) return { ...state, ...complaint };
  return probeInto(state, held.token, counts.isUsedUp, { options, signal });
}

interface Call {
  readonly options: IatLifeOptions;
  readonly signal: AbortSignal;
}

async function probeInto(state: IatState, token: Secret, isUsedUp: boolean, call: Call): Promise<IatState> {
  try {
    const probed = await call.options.probe(token, call.signal);
    if (probed === 'usable') return { ...state, isProbed: true };
    return { ...state, isProbed: true, ...complaintFrom(probed, isUsedUp) };
  } catch (error) {
    // Could not tell: nothing is held against the token, the registration itself will show.
    if (!isDependencyError(error)) throw error;
    return state;
  }
}

interface Counts {
  readonly remaining: number | undefined;
  readonly source: 'admin' | 'ledger' | undefined;
  readonly isUsedUp: boolean;
  readonly listed: readonly ListedToken[];
}

/** The realm's own count if we may see it, else ours. A count that nobody can tell is no reason to stop. */
async function countUses(
  options: IatLifeOptions,
  tokenId: string | undefined,
  signal: AbortSignal,
): Promise<Counts> {
  const { instance, administration, ledger } = options;
  const none: Counts = { remaining: undefined, source: undefined, isUsedUp: false, listed: [] };
  if (tokenId === undefined) return none;
  const used = await orUndefined(ledger.used(instance.name, tokenId, signal));
  const isUsedUp = used !== undefined && used >= instance.clients;
  const listed = administration && (await orUndefined(administration.listTokens(signal)));
  if (listed !== undefined) {
    // A token that is not in the list is expired, used up or revoked: nothing is left of it either way.
    const remaining = listed.find(({ id }) => id === tokenId)?.remaining ?? 0;
    return { remaining, source: 'admin', isUsedUp, listed };
  }
  if (used === undefined) return none;
  return { remaining: Math.max(0, instance.clients - used), source: 'ledger', isUsedUp, listed: [] };
}

function revocable(
  previous: Secret | undefined,
  current: IatClaims | undefined,
  listed: readonly ListedToken[],
): string | undefined {
  const id = previous && decodeIat(previous)?.id;
  return id !== undefined && id !== current?.id && listed.some((token) => token.id === id) ? id : undefined;
}

async function orUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (!isDependencyError(error)) throw error;
    return undefined;
  }
}
