/**
 * Text with `*` for any run of characters, none included; nothing else in it is special. In time linear in the text for
 * each star, whatever a pattern looks like.
 */
export function matchesGlob(glob: string, text: string): boolean {
  const [first = '', ...rest] = glob.split('*');
  const last = rest.pop();
  if (last === undefined) return text === glob;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let from = first.length;
  for (const literal of rest) {
    const at = text.indexOf(literal, from);
    if (at < 0 || at + literal.length > end) return false;
    from = at + literal.length;
  }
  return true;
}

/** Which models something is about: `namespace/name`, with stars that stop at the slash. */
export interface ModelPattern {
  /** As written: it names the counter. */
  readonly text: string;
  readonly matches: (model: string) => boolean;
}

const modelPattern = /^([a-z0-9*]([-a-z0-9*]*[a-z0-9*])?)\/([a-z0-9*]([-.a-z0-9*]*[a-z0-9*])?)$/;
const maxLength = 317;

/** Text → pattern, or undefined where no model could ever match it. */
export function parseModelPattern(text: string): ModelPattern | undefined {
  const [, namespace, , name] = modelPattern.exec(text) ?? [];
  if (namespace === undefined || name === undefined || text.length > maxLength) return undefined;
  return {
    text,
    matches(model) {
      const slash = model.indexOf('/');
      return matchesGlob(namespace, model.slice(0, slash)) && matchesGlob(name, model.slice(slash + 1));
    },
  };
}

/** Narrowest first: an exact name before any glob, then the one with more letters of its own; equals as written. */
export function byNarrowness<Thing extends { readonly pattern: ModelPattern }>(
  things: readonly Thing[],
): readonly Thing[] {
  return [...things].sort(({ pattern: a }, { pattern: b }) => {
    const globsLast = Number(a.text.includes('*')) - Number(b.text.includes('*'));
    return globsLast === 0 ? literals(b) - literals(a) : globsLast;
  });
}

function literals({ text }: ModelPattern): number {
  return text.replaceAll('*', '').length;
}

/** Which of a caller's groups is a team: `group:` and a name with stars, as in `group:team-*`. */
export interface TeamPattern {
  readonly text: string;
  readonly matches: (group: string) => boolean;
}

export function parseTeamPattern(text: string): TeamPattern | undefined {
  const [, glob] = /^group:(.+)$/s.exec(text) ?? [];
  if (glob === undefined || glob.replaceAll('*', '') === '') return undefined;
  return { text, matches: (group) => matchesGlob(glob, group) };
}
