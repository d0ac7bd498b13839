import { askedAs } from './access.ts';
import type { Principal } from './principal.ts';
import { createRecent } from './recent.ts';

/** Lists of groups and names of namespaces are few; of what somebody makes up, not much is kept. */
const maxKept = 10_000;

/**
 * Principal → the same, as it is remembered: what tokens share is kept once for all of them, which is half of what a
 * principal takes, and of `extra` only what access is asked about.
 */
export function createKeepPrincipal(extraKeys: readonly string[]): (principal: Principal) => Principal {
  const groupsByText = createRecent<readonly string[]>(maxKept);
  const texts = createRecent<string>(maxKept);

  function sharedGroups(groups: readonly string[]): readonly string[] {
    const text = JSON.stringify(groups);
    const known = groupsByText.get(text);
    if (known !== undefined) return known;
    groupsByText.set(text, groups);
    return groups;
  }

  function sharedText(text: string): string {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, text);
    return text;
  }

  return (principal) => {
    const { username, uid, serviceAccount, secret, jti, issuedAtMs, expiresAtMs } = principal;
    const asked = Object.entries(principal.extra).filter(([key]) => extraKeys.includes(key));
    // One literal with a place for everything: what is spread together takes half as much again.
    const kept: { readonly [Key in keyof Required<Principal>]: Principal[Key] | undefined } = {
      username,
      uid,
      groups: sharedGroups(principal.groups),
      extra: asked.length === 0 ? noExtra : Object.fromEntries(asked),
      serviceAccount: serviceAccount && {
        name: serviceAccount.name,
        namespace: sharedText(serviceAccount.namespace),
        // Two texts as a rule, of the TokenReview and of the token, that say the same.
        uid: serviceAccount.uid === uid ? uid : serviceAccount.uid,
      },
      secret,
      jti,
      issuedAtMs,
      expiresAtMs,
      askedAs: askedAs(principal, extraKeys),
      grantedModel: undefined,
      grant: undefined,
    };
    return kept as Principal;
  };
}

const noExtra: Principal['extra'] = Object.freeze({});
