import type { DenialReason } from '../check/denial.ts';

/** Something done to tokens, or tried: who, what, for whom, which, and how it ended. Never holds a token. */
export interface AuditRecord {
  readonly action: 'mint' | 'list' | 'revoke' | 'revoke_all';
  /** Who asked, by the name of the cluster. */
  readonly actor: string;
  /** Whose tokens. */
  readonly user: string;
  /** Ids of the tokens made or ended; the id asked for where it was refused. */
  readonly tokenIds: readonly string[];
  readonly tier?: string;
  readonly expiresAtMs?: number;
  readonly outcome: 'done' | DenialReason;
  /** Address of the client, as far as proxies are trusted. */
  readonly source: string;
  readonly requestId: string;
}

/** Port: writes one record; never throws. */
export type Audit = (record: AuditRecord) => void;
