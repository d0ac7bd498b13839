import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { DependencyError } from '../dependency-error.ts';
import type { Cluster, DiscoverClusters } from '../register/cluster.ts';

/**
 * An inventory of clusters: YAML, a list or `{clusters: [...]}`. Strict, like the process file: a mistyped key
 * must not read as a cluster that wants nothing.
 */
const cluster = z
  .strictObject({
    name: z.string().regex(/^[^\s/]+$/, { error: 'must be a name without blanks and slashes' }),
    organizationId: z.string().regex(/^[^\s/]+$/, { error: 'must be an id without blanks and slashes' }),
    status: z.enum(['enabled', 'enforced', 'sso-client-only', 'disabled']).default('enabled'),
    ready: z.boolean().default(true),
    externalAuth: z.boolean().default(false),
    consoleUrl: z.url({ protocol: /^https$/, error: 'must be an https URL' }).optional(),
    authName: z.string().min(1).optional(),
    issuer: z.url({ error: 'must be a URL' }).optional(),
    groupFilterRegex: z.string().min(1).optional(),
  })
  .transform(
    (one): Cluster => ({
      ...one,
      consoleUrl: one.consoleUrl,
      authName: one.authName,
      issuer: one.issuer,
      groupFilterRegex: one.groupFilterRegex,
    }),
  );

const list = z.array(cluster);
const inventory = z.union([list, z.strictObject({ clusters: list }).transform(({ clusters }) => clusters)]);

export type ParsedInventory =
  | { readonly clusters: readonly Cluster[] }
  /** Every one of them, in words. */
  | { readonly mistakes: readonly string[] };

/** Text of an inventory → clusters. An empty text is a mistake: "no clusters" has to be said (`[]`). */
export function parseInventory(text: string): ParsedInventory {
  const document = parseDocument(text, { version: '1.2', prettyErrors: false });
  if (document.errors.length > 0) return { mistakes: document.errors.map(({ message }) => message) };
  const parsed = inventory.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (!parsed.success) return { mistakes: wordsOf(parsed.error) };
  return { clusters: parsed.data };
}

/** An inventory that comes as text from somewhere. A mistake in it is a DependencyError: nobody can tell what is wanted. */
export function createInventoryDiscovery(read: (signal: AbortSignal) => Promise<string>): DiscoverClusters {
  return async (signal) => {
    const parsed = parseInventory(await read(signal));
    if ('clusters' in parsed) return parsed.clusters;
    throw new DependencyError('inventory', 'malformed', { detail: parsed.mistakes.join('; ') });
  };
}

export function createReadInventoryFile(path: string): (signal: AbortSignal) => Promise<string> {
  return async (signal) => {
    try {
      return await readFile(path, { encoding: 'utf8', signal });
    } catch (cause) {
      throw new DependencyError('inventory', 'unreachable', { cause, detail: `${path} can not be read` });
    }
  };
}

/** Of a union, what was wrong with the form that was meant: the one that got furthest. */
function wordsOf(error: z.ZodError): readonly string[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union') return [`${issue.path.join('.')}: ${issue.message}`];
    const furthest = issue.errors.toSorted((left, right) => depthOf(right) - depthOf(left))[0] ?? [];
    return furthest.map((inner) => `${inner.path.join('.')}: ${inner.message}`);
  });
}

function depthOf(issues: readonly z.core.$ZodIssue[]): number {
  return Math.max(0, ...issues.map(({ path }) => path.length));
}
