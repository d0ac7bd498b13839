import { type DocumentStore, formatDocument, parseDocument, textOf, textsOf } from './document-store.ts';

/**
 * Our own count of what was registered with an Initial Access Token, where the realm does not tell us. It
 * holds attempts by their nonce, so that counting one twice (after a crash) changes nothing.
 */
export interface Ledger {
  /** How many of ours were registered with this token; 0 for one that was never used. */
  readonly used: (instance: string, tokenId: string, signal: AbortSignal) => Promise<number>;
  readonly add: (instance: string, tokenId: string, nonce: string, signal: AbortSignal) => Promise<void>;
}

interface Page {
  readonly tokenId: string | undefined;
  readonly registrations: readonly string[];
  readonly version: string | undefined;
}

/** Attempts to write when somebody else writes too. */
const maxAttempts = 3;

export function createLedger(state: DocumentStore): Ledger {
  const readPage = async (instance: string, signal: AbortSignal): Promise<Page> => {
    const stored = await state.read(keyOf(instance), signal);
    const fields = stored && parseDocument(stored.content);
    return {
      tokenId: textOf(fields?.['initial_access_token_id']),
      registrations: textsOf(fields?.['registrations']) ?? [],
      version: stored?.version,
    };
  };

  return {
    used: async (instance, tokenId, signal) => {
      const page = await readPage(instance, signal);
      return page.tokenId === tokenId ? page.registrations.length : 0;
    },
    add: async (instance, tokenId, nonce, signal) => {
      for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
        const page = await readPage(instance, signal);
        // A page is one token's: a new token starts a new one.
        const before = page.tokenId === tokenId ? page.registrations : [];
        if (before.includes(nonce)) return;
        const content = formatDocument({
          initial_access_token_id: tokenId,
          registrations: [...before, nonce],
        });
        if ((await state.write(keyOf(instance), content, page.version, signal)) !== undefined) return;
      }
      // Somebody else keeps writing: a count that is one short is a better end than a failed registration.
    },
  };
}

function keyOf(instance: string): string {
  return `ledger.${instance}`;
}
