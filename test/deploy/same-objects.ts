import { parse } from 'yaml';
import type { RenderedObject } from './render.ts';

/** Objects by `kind namespace/name`, in a form in which those of kustomize and of helm are equal where they mean the same. */
export function comparable(objects: readonly RenderedObject[]): Readonly<Record<string, unknown>> {
  const plainNames = new Map(
    objects
      .filter(({ kind }) => kind === 'ConfigMap')
      .map(({ metadata: { name } }) => [name, plainName(name)] as const),
  );
  return Object.fromEntries(
    objects.map((object) => {
      const plain = withPlainNames(withoutToolMarks(object), plainNames) as RenderedObject;
      const { namespace = '', name } = plain.metadata;
      return [`${plain.kind} ${namespace}/${name}`, withParsedData(plain)];
    }),
  );
}

/** Without the hash that kustomize appends to the names of what it generates. */
function plainName(name: string): string {
  return name.replace(/-[bcdfghkmt2456789]{10}$/, '');
}

/** What only says which tool made an object: helm's labels, and its way to roll out a changed ConfigMap. */
const toolMarks = new Set([
  'app.kubernetes.io/managed-by',
  'helm.sh/chart',
  'helm.sh/resource-policy',
  'checksum/config',
]);

function withoutToolMarks(value: unknown): unknown {
  return mapped(value, ([key, inner]) => {
    if (toolMarks.has(key)) return [];
    const kept = withoutToolMarks(inner);
    const isEmptied =
      key === 'annotations' && typeof kept === 'object' && kept !== null && Object.keys(kept).length === 0;
    return isEmptied ? [] : [[key, kept]];
  });
}

function withPlainNames(value: unknown, plainNames: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return plainNames.get(value) ?? value;
  return mapped(
    value,
    ([key, inner]) => [[key, withPlainNames(inner, plainNames)]],
    (inner) => withPlainNames(inner, plainNames),
  );
}

/** Process files and policies by what they say, not by how they are written. */
function withParsedData(object: RenderedObject): unknown {
  if (object.kind !== 'ConfigMap' || object.data === undefined) return object;
  const data = Object.entries(object.data).map(([key, text]) => [key, parse(text) as unknown]);
  return { ...object, data: Object.fromEntries(data) };
}

type Entry = readonly [string, unknown];

function mapped(
  value: unknown,
  entry: (entry: Entry) => readonly Entry[],
  element: (value: unknown) => unknown = (inner) => mapped(inner, entry),
): unknown {
  if (Array.isArray(value)) return value.map(element);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).flatMap(entry));
}
