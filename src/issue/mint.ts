import type { Principal } from '../check/principal.ts';
import type { AssignTier } from '../check/tier.ts';
import { type Denied, denied, isDenied } from '../check/outcome.ts';
import { DependencyError } from '../dependency-error.ts';
import { formatDuration } from '../duration.ts';
import type { Secret } from '../secret.ts';
import type { Account } from './account.ts';
import type { EnsureAccount } from './ensure-account.ts';
import { type Expiration, invalidLifetime, type Lifetime, readLifetime } from './lifetime.ts';
import type { EndAccounts } from './revoke.ts';
import {
  type CompleteTokenRecord,
  type CreateTokenRecord,
  type DeleteTokenRecord,
  type IssuedToken,
  isLeftBehind,
  isLive,
  type ListTokenRecords,
  type RequestToken,
  type TokenRecordPlace,
} from './token-record.ts';

export interface MintOptions {
  readonly assignTier: AssignTier;
  readonly ensureAccount: EnsureAccount;
  /** Of a user's groups those that limits are shared by, whichever tier's. */
  readonly sharedGroups: (groups: readonly string[]) => readonly string[];
  readonly endAccounts: EndAccounts;
  readonly listTokenRecords: ListTokenRecords;
  readonly createTokenRecord: CreateTokenRecord;
  readonly completeTokenRecord: CompleteTokenRecord;
  readonly deleteTokenRecord: DeleteTokenRecord;
  readonly requestToken: RequestToken;
  /** Live tokens of one user, at most. Several replicas may together pass it by one each. */
  readonly maxTokensPerUser: number;
  /** 32 hex digits: 128 random bits. */
  readonly newTokenId: () => string;
  readonly now: () => number;
}

export interface MintRequest {
  readonly principal: Principal;
  readonly expiration?: Expiration;
  readonly name?: string | undefined;
  readonly description?: string | undefined;
}

export interface MintedToken {
  readonly id: string;
  readonly token: Secret;
  readonly jti: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly lifetimeMs: number;
  readonly tier: string;
  readonly name?: string;
}

/**
 * A caller of the cluster → an access token. Refusals leave nothing behind. Throws DependencyError when the
 * cluster could not be asked; what was half-made by then is undone at once, or else by the user's next mint
 * or the sweep.
 */
export type Mint = (request: MintRequest) => Promise<MintedToken | Denied>;

/** Account or Secret may go between two steps: whoever revokes at this moment wins, and the mint begins again. */
const maxRounds = 3;

/** What a clock may differ, and a whole second that the cluster rounds away. */
const toleranceMs = 2_000;

export function createMint(options: MintOptions): Mint {
  const { assignTier, ensureAccount, endAccounts, maxTokensPerUser, now } = options;
  const inTurn = createTurns();

  async function makeRoom(account: Account): Promise<Denied | undefined> {
    const records = await options.listTokenRecords(account.namespace, account.name);
    const leftBehind = records.filter((record) => isLeftBehind(record, now()));
    await Promise.all(leftBehind.map(options.deleteTokenRecord));
    const live = records.filter((record) => record.accountUid === account.uid && isLive(record, now()));
    if (live.length < maxTokensPerUser) return undefined;
    const detail = `You already have ${live.length} tokens, as many as you may; revoke one or let one expire.`;
    return denied('too_many_tokens', detail);
  }

  /** From the record on, either everything happens or the record goes again. */
  async function issue(
    account: Account,
    request: MintRequest,
    lifetime: Lifetime,
  ): Promise<(IssuedToken & { readonly id: string }) | Denied | 'gone'> {
    const id = options.newTokenId();
    const expiresAtMs = now() + lifetime.durationMs;
    const { name, description } = request;
    const user = request.principal.username;
    const record = await options.createTokenRecord({ id, account, user, name, description, expiresAtMs });
    try {
      const issued = await bindToken(account, record, lifetime);
      if (issued !== 'gone' && !isDenied(issued)) return { ...issued, id };
      await options.deleteTokenRecord(record);
      return issued;
    } catch (error) {
      // The failure that counts is the one at hand; a record that stays is found by the next mint or the sweep.
      await options.deleteTokenRecord(record).catch(() => false);
      throw error;
    }
  }

  async function bindToken(
    account: Account,
    record: TokenRecordPlace,
    lifetime: Lifetime,
  ): Promise<IssuedToken | Denied | 'gone'> {
    const lifetimeSeconds = Math.floor(lifetime.durationMs / 1000);
    const issued = await options.requestToken({ account, record, lifetimeSeconds });
    if (issued === 'too_long') {
      return invalidLifetime('expiration is longer than this cluster allows for any token.');
    }
    if (issued === 'gone' || issued.accountUid !== account.uid) return 'gone';
    const givenMs = issued.expiresAtMs - issued.issuedAtMs;
    if (lifetime.asked && givenMs + toleranceMs < lifetimeSeconds * 1000) {
      const max = formatDuration(givenMs);
      return invalidLifetime(`expiration is longer than the ${max} that this cluster allows for any token.`);
    }
    const { jti, expiresAtMs } = issued;
    return (await options.completeTokenRecord(record, { jti, expiresAtMs })) ? issued : 'gone';
  }

  return async (request) => {
    const { principal, name } = request;
    const user = principal.username;
    const tier = assignTier(principal.groups);
    if (isDenied(tier)) return tier;
    const lifetime = readLifetime(request.expiration, tier);
    if (isDenied(lifetime)) return lifetime;

    return inTurn(user, async () => {
      for (let round = 0; round < maxRounds; round += 1) {
        const account = await ensureAccount(user, tier.name, options.sharedGroups(principal.groups));
        if (isDenied(account)) return account;
        // The old tier goes first: nobody ever holds tokens of two tiers.
        await endAccounts(user, account.namespace);
        const full = await makeRoom(account);
        if (full !== undefined) return full;
        const issued = await issue(account, request, lifetime);
        if (issued === 'gone') continue;
        if (isDenied(issued)) return issued;
        const { id, token, jti, issuedAtMs, expiresAtMs } = issued;
        const lifetimeMs = lifetime.asked ? lifetime.durationMs : expiresAtMs - issuedAtMs;
        const minted = { id, token, jti, issuedAtMs, expiresAtMs, lifetimeMs, tier: tier.name };
        return name === undefined ? minted : { ...minted, name };
      }
      throw new DependencyError('kubernetes', 'failed', {
        detail: 'the account went while a token was made',
      });
    });
  };
}

/** One task after the other for each key: a user's count of tokens is taken by one mint at a time. */
function createTurns(): <T>(key: string, task: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return async (key, task) => {
    const turn = (last.get(key) ?? Promise.resolve()).then(task, task);
    last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (last.get(key) === turn) last.delete(key);
    }
  };
}
