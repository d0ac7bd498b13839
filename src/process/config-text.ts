import { isMap, isSeq, LineCounter, type Node, parseDocument } from 'yaml';

/** One thing that is wrong with the process file, with where it stands. */
export interface ConfigMistake {
  /** `identity.ttl`; empty for the text as a whole. */
  readonly path: string;
  /** From 1, where it is known. */
  readonly line?: number;
  /** What an operator reads after the path. */
  readonly message: string;
}

export type KeyPath = readonly PropertyKey[];

export interface ConfigText {
  /** An empty text is an empty map. */
  readonly content: unknown;
  /** The line of a key, or of the nearest one above it where it is missing. */
  readonly lineOf: (path: KeyPath) => number | undefined;
  /** The text is no YAML; then `content` is worth nothing. */
  readonly mistakes: readonly ConfigMistake[];
}

/** Far above any honest file; keeps a bomb of aliases from being unfolded. */
const maxAliasCount = 100;

/** YAML 1.2 (core schema: `yes` is a text) → plain data, with the line of every key. */
export function readConfigText(text: string): ConfigText {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: '1.2',
    uniqueKeys: true,
    // Their pretty form quotes the lines around: a secret in the wrong place could stand there.
    prettyErrors: false,
  });
  const mistakes = [...document.errors, ...document.warnings].map(
    ({ message, pos }): ConfigMistake => ({
      path: '',
      line: lines.linePos(pos[0]).line,
      message,
    }),
  );
  if (mistakes.length > 0) return { content: {}, lineOf: () => undefined, mistakes };

  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount }) ?? {};
  } catch {
    return {
      content: {},
      lineOf: () => undefined,
      mistakes: [{ path: '', message: 'has aliases that do not resolve, or far too many' }],
    };
  }

  return {
    content,
    mistakes,
    lineOf(path) {
      let node: unknown = document.contents;
      let offset: number | undefined;
      for (const step of path) {
        const found = stepInto(node, step);
        if (found === undefined) break;
        offset = found.offset ?? offset;
        node = found.node;
      }
      return offset === undefined ? undefined : lines.linePos(offset).line;
    },
  };
}

function stepInto(
  node: unknown,
  step: PropertyKey,
): { node: unknown; offset: number | undefined } | undefined {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => keyText(key) === String(step));
    return pair === undefined ? undefined : { node: pair.value, offset: (pair.key as Node).range?.[0] };
  }
  if (isSeq(node)) {
    const entry = node.items[Number(step)] as Node | undefined;
    return entry === undefined ? undefined : { node: entry, offset: entry.range?.[0] };
  }
  return undefined;
}

function keyText(key: unknown): string {
  return String((key as { readonly value?: unknown }).value);
}

/** `tiers[1].limits` */
export function formatKeyPath(path: KeyPath): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === 'number' ? `${text}[${step}]` : `${text}${text === '' ? '' : '.'}${String(step)}`,
    '',
  );
}
