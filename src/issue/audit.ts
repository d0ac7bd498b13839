import type { DenialReason } from '../check/denial.ts';

/** Something done to tokens or counters, or tried: who, what, for whom, which, and how it ended. Never holds a token. */
export interface AuditRecord {
  readonly action: 'mint' | 'list' | 'revoke' | 'revoke_all' | 'boost' | 'end_boost' | 'reset';
  /** Who asked, by the name of the cluster. */
  readonly actor: string;
  /** Whose tokens, or whose counters: a user, `group:` and a team, `model:` and a model. */
  readonly user: string;
  /** Ids of the tokens made or ended; the id asked for where it was refused. */
  readonly tokenIds: readonly string[];
  readonly tier?: string;
  readonly expiresAtMs?: number;
  /** Of a boost. */
  readonly percent?: number;
  /** In the words of whoever did it. */
  readonly why?: string;
  readonly outcome: 'done' | DenialReason;
  /** Address of the client, as far as proxies are trusted. */
  readonly source: string;
  readonly requestId: string;
}

/** Port: writes one record; never throws. */
export type Audit = (record: AuditRecord) => void;
