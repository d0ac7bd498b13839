import type { z } from 'zod';
import { checkRules, type ConfigNeeds } from './config-rules.ts';
import { type ConfigSections, configSchema } from './config-schema.ts';
import { type ConfigMistake, type ConfigText, formatKeyPath, type KeyPath } from './config-text.ts';
import { nearestWord } from './nearest-word.ts';
import { keysAt } from './schema-keys.ts';

export type ValidatedConfig =
  | { readonly valid: true; readonly sections: ConfigSections }
  | { readonly valid: false; readonly mistakes: readonly ConfigMistake[] };

interface Finding {
  readonly path: KeyPath;
  readonly message: string;
}

/**
 * Schema, then rules between keys; all mistakes at once. A value that the schema
 * refuses is taken out, as if its key were not there, so that the rules can still judge the rest.
 */
export function validateConfig({ content, lineOf }: ConfigText, needs: ConfigNeeds = {}): ValidatedConfig {
  const found: Finding[] = [];
  let rest: unknown = structuredClone(withoutEmptySections(content));
  let parsed = configSchema.safeParse(rest);
  while (!parsed.success) {
    const fresh = parsed.error.issues.flatMap((issue) => findingsOf(issue));
    // What was taken out can be missed next: only the first word about a path counts.
    found.push(...fresh.filter(({ path }) => !found.some((earlier) => overlaps(earlier.path, path))));
    for (const { path } of fresh) rest = withoutPath(rest, path);
    parsed = configSchema.safeParse(rest);
  }

  const report = (path: KeyPath, message: string): void => {
    if (!found.some((earlier) => overlaps(earlier.path, path))) found.push({ path, message });
  };
  checkRules(parsed.data, report, needs);
  if (found.length === 0) return { valid: true, sections: parsed.data };
  const mistakes = found.map(({ path, message }): ConfigMistake => {
    const line = lineOf(path);
    const where = formatKeyPath(path);
    return line === undefined ? { path: where, message } : { path: where, line, message };
  });
  return { valid: false, mistakes: mistakes.toSorted((a, b) => (a.line ?? Infinity) - (b.line ?? Infinity)) };
}

/** `redis:` with nothing below it, or all of it commented out, says as little as no `redis` at all. */
function withoutEmptySections(content: unknown): unknown {
  if (!isMap(content) || Array.isArray(content)) return content;
  return Object.fromEntries(Object.entries(content).map(([key, value]) => [key, value ?? undefined]));
}

function findingsOf(issue: z.core.$ZodIssue, parent: KeyPath = []): readonly Finding[] {
  const path = [...parent, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(configSchema, path);
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(key, path, known) }));
  }
  if (issue.code === 'invalid_union') {
    // The union says only that nothing fitted. Where a map was written, why the map did not fit is what helps.
    const inner = issue.errors.findLast((issues) =>
      issues.some((one) => one.path.length > 0 || one.code === 'unrecognized_keys'),
    );
    if (inner !== undefined) return inner.flatMap((one) => findingsOf(one, path));
  }
  if (issue.code === 'invalid_type' && issue.expected === 'object') {
    const message = path.length === 0 ? 'must be a map of keys' : `must be a map of keys${keysHint(path)}`;
    return [{ path, message }];
  }
  return [{ path, message: issue.message }];
}

function unknownKey(key: string, path: KeyPath, known: readonly string[]): string {
  const nearest = nearestWord(key, known);
  if (nearest !== undefined) return `is not a known key; did you mean ${nearest}?`;
  const home = keysAt(configSchema, []).find(
    (section) => path.length === 0 && keysAt(configSchema, [section]).includes(key),
  );
  if (home !== undefined) return `is not a known key here; did you mean ${home}.${key}?`;
  return known.length === 0 ? 'is not a known key' : `is not a known key; known here: ${known.join(', ')}`;
}

function keysHint(path: KeyPath): string {
  const known = keysAt(configSchema, path);
  return known.length === 0 ? '' : ` (${known.join(', ')})`;
}

/** Whether one path is the other, or lies above or below it. */
function overlaps(a: KeyPath, b: KeyPath): boolean {
  const shorter = Math.min(a.length, b.length);
  return a.slice(0, shorter).every((step, at) => step === b[at]);
}

/** The content without what stands at the path; where nothing does, without what should have held it. */
function withoutPath(content: unknown, path: KeyPath): unknown {
  const last = path.at(-1);
  if (last === undefined) return {};
  const above = path.slice(0, -1);
  const holder = above.reduce<unknown>(
    (value, step) => (isMap(value) ? value[String(step)] : undefined),
    content,
  );
  if (!isMap(holder) || !Object.hasOwn(holder, last)) return withoutPath(content, above);
  // An array is taken out whole: its entries would move.
  if (Array.isArray(holder)) return withoutPath(content, above);
  delete holder[String(last)];
  return content;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
