import { type Document, isMap, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { checkNames, createPolicy, type PolicyOptions } from './create-policy.ts';
import { documentSchema } from './document.ts';
import type { Policy } from './policy.ts';

/** One thing that is wrong with a document, with where it stands. */
export interface PolicyMistake {
  /** `tiers[1].limits.requests[0].window` */
  readonly path: string;
  /** Line of the text that was given, from 1, where it is known. */
  readonly line?: number;
  readonly message: string;
}

/** Valid as a whole, or every mistake at once. */
export type ParsedPolicy =
  | { readonly valid: true; readonly policy: Policy }
  | { readonly valid: false; readonly mistakes: readonly PolicyMistake[] };

type Path = readonly PropertyKey[];

/** Text of a policy file: the bare list of tiers, or a map with `tiers` and `capacity`. */
export function parsePolicyFile(text: string, options: PolicyOptions): ParsedPolicy {
  const read = readYaml(text);
  const broken = mistakesOf(read, '');
  if (broken.length > 0) return { valid: false, mistakes: broken };
  const content = read.content;
  if (isMap(read.yaml.contents))
    return createParsedPolicy(content, options, (path) => lineOfPath(read, path));
  return createParsedPolicy({ tiers: content }, options, (path) =>
    path[0] === 'tiers' ? lineOfPath(read, path.slice(1)) : undefined,
  );
}

/**
 * As parsePolicyFile, or the manifest of the ConfigMap with such a text under `tiers`, as it is applied to a cluster.
 * Lines are those of the manifest where the text is a block (`tiers: |`), as it always is.
 */
export function parsePolicyManifest(text: string, options: PolicyOptions): ParsedPolicy {
  const { content, yaml, lines } = readYaml(text);
  if (!isConfigMap(content)) return parsePolicyFile(text, options);
  const { data } = content;
  if (!isTexts(data)) {
    return { valid: false, mistakes: [{ path: 'data', message: 'the ConfigMap has no data of texts' }] };
  }
  const node = yaml.getIn(['data', 'tiers'], true) as { range?: [number] } | undefined;
  const above = node?.range === undefined ? 0 : lines.linePos(node.range[0]).line;
  const shift = (line: number | undefined) => (line === undefined ? undefined : line + above);
  const parsed = parsePolicyConfigMap(data, options);
  if (parsed.valid) {
    const { lineOf } = parsed.policy;
    return {
      valid: true,
      policy: Object.freeze({ ...parsed.policy, lineOf: (path: Path) => shift(lineOf?.(path)) }),
    };
  }
  const mistakes = parsed.mistakes.map((mistake) =>
    mistake.line === undefined ? mistake : Object.assign({}, mistake, { line: mistake.line + above }),
  );
  return { valid: false, mistakes };
}

/** Whether a text is meant as a policy document, or as the ConfigMap of one, right or wrong. */
export function looksLikePolicy(text: string): boolean {
  const { content } = readYaml(text);
  if (Array.isArray(content) || isConfigMap(content)) return true;
  return typeof content === 'object' && content !== null && 'tiers' in content;
}

function isConfigMap(content: unknown): content is { readonly data?: unknown } {
  return typeof content === 'object' && content !== null && 'kind' in content && content.kind === 'ConfigMap';
}

function isTexts(data: unknown): data is Readonly<Record<string, string>> {
  if (typeof data !== 'object' || data === null) return false;
  return Object.values(data).every((text) => typeof text === 'string');
}

interface ReadYaml {
  readonly yaml: Document.Parsed;
  readonly lines: LineCounter;
  /** As plain data; undefined where `fault` says why not. */
  readonly content: unknown;
  readonly fault: string | undefined;
}

function readYaml(text: string): ReadYaml {
  const lines = new LineCounter();
  const yaml = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  try {
    return { yaml, lines, content: yaml.toJS(), fault: undefined };
  } catch (error) {
    // An alias without its anchor, as `[*-users]` without quotes is one, is no error of the parser's yet.
    return { yaml, lines, content: undefined, fault: error instanceof Error ? error.message : String(error) };
  }
}

function mistakesOf({ yaml, lines, fault }: ReadYaml, path: string): readonly PolicyMistake[] {
  const mistakes = yaml.errors.map(({ message, pos }) => ({
    path,
    line: lines.linePos(pos[0]).line,
    message: message.split('\n')[0] ?? message,
  }));
  if (mistakes.length > 0 || fault === undefined) return mistakes;
  return [{ path, message: `${fault}; a text with * needs quotes` }];
}

/** A key that is missing has no line of its own: its nearest parent's is said. */
function lineOfPath({ yaml, lines }: ReadYaml, path: Path): number | undefined {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = yaml.getIn(path.slice(0, length), true) as { range?: [number] } | undefined;
    if (node?.range !== undefined) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}

/** The data of the ConfigMap: one YAML text under `tiers`, and possibly one under `capacity`. */
export function parsePolicyConfigMap(
  data: Readonly<Record<string, string>>,
  options: PolicyOptions,
): ParsedPolicy {
  const { tiers, capacity } = data;
  if (tiers === undefined) {
    return { valid: false, mistakes: [{ path: 'tiers', message: 'the ConfigMap has no key tiers' }] };
  }
  if (capacity === undefined) return parsePolicyFile(tiers, options);

  const texts = { tiers: readYaml(tiers), capacity: readYaml(capacity) };
  const broken = [...mistakesOf(texts.tiers, 'tiers'), ...mistakesOf(texts.capacity, 'capacity')];
  if (broken.length > 0) return { valid: false, mistakes: broken };
  // A list is the tiers; a map under the key `tiers` has them under that name once more.
  const list = texts.tiers.content;
  const content = isMap(texts.tiers.yaml.contents) ? list : { tiers: list };
  const isTwice = typeof content === 'object' && content !== null && 'capacity' in content;
  if (isTwice) {
    const message = 'stands both in the key capacity and in the key tiers of the ConfigMap';
    return { valid: false, mistakes: [{ path: 'capacity', message }] };
  }
  return createParsedPolicy({ ...(content as object), capacity: texts.capacity.content }, options, (path) =>
    path[0] === 'capacity'
      ? lineOfPath(texts.capacity, path.slice(1))
      : lineOfPath(texts.tiers, isMap(texts.tiers.yaml.contents) ? path : path.slice(1)),
  );
}

function createParsedPolicy(
  content: unknown,
  options: PolicyOptions,
  lineOf: (path: Path) => number | undefined,
): ParsedPolicy {
  const mistakes: PolicyMistake[] = [];
  const report = (path: Path, message: string): void => {
    const line = lineOf(path);
    mistakes.push({ path: formatPath(path), message, ...(line !== undefined && { line }) });
  };
  const document = documentSchema.safeParse(content);
  if (!document.success) {
    for (const issue of document.error.issues)
      for (const found of leaves(issue)) report(found.path, found.message);
    // Every mistake at once: names can be judged whatever else is wrong.
    checkNames(namesIn(content), options.instance, report);
    return { valid: false, mistakes };
  }
  const policy = createPolicy(document.data, options, report);
  return mistakes.length === 0
    ? { valid: true, policy: Object.freeze({ ...policy, lineOf }) }
    : { valid: false, mistakes };
}

/** Tiers of content that is no valid document, as far as they have names. */
function namesIn(content: unknown): readonly { readonly name: string }[] {
  const tiers: unknown =
    typeof content === 'object' && content !== null && 'tiers' in content ? content.tiers : [];
  if (!Array.isArray(tiers)) return [];
  return tiers.map((tier: unknown) => {
    const name = typeof tier === 'object' && tier !== null && 'name' in tier ? tier.name : '';
    return { name: typeof name === 'string' ? name : '' };
  });
}

/** A union's issue says only that nothing fitted; what an operator needs is why the likeliest form did not. */
function leaves(issue: z.core.$ZodIssue, parent: Path = []): readonly { path: Path; message: string }[] {
  const path = [...parent, ...issue.path];
  if (issue.code === 'invalid_union') {
    const objectIssues = issue.errors.findLast((issues) =>
      issues.some((inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys'),
    );
    if (objectIssues !== undefined) return objectIssues.flatMap((inner) => leaves(inner, path));
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: 'is not a known key' }));
  }
  return [{ path, message: issue.message }];
}

function formatPath(path: Path): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === 'number' ? `${text}[${step}]` : `${text}${text === '' ? '' : '.'}${String(step)}`,
    '',
  );
}
