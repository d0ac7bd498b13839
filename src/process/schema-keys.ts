import type { z } from 'zod';

/** What lies under wrappers such as default, optional and transform. */
function bare(schema: z.core.$ZodType): z.core.$ZodTypes {
  const known = schema as z.core.$ZodTypes;
  const { def } = known._zod;
  if (def.type === 'default' || def.type === 'prefault' || def.type === 'optional')
    return bare(def.innerType);
  return def.type === 'pipe' ? bare(def.in) : known;
}

/** The maps that may stand where this schema stands; of a union, every one. */
function shapesOf(schema: z.core.$ZodType): readonly Readonly<Record<string, z.core.$ZodType>>[] {
  const { def } = bare(schema)._zod;
  if (def.type === 'object') return [def.shape];
  if (def.type === 'union') return def.options.flatMap(shapesOf);
  return [];
}

/** Keys that a map at this path may have; none where no map belongs. */
export function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  const [step, ...rest] = path;
  if (step === undefined) return shapesOf(schema).flatMap((shape) => Object.keys(shape));
  const { def } = bare(schema)._zod;
  if (def.type === 'array') return keysAt(def.element, rest);
  return shapesOf(schema).flatMap((shape) => {
    const inner = shape[String(step)];
    return inner === undefined ? [] : keysAt(inner, rest);
  });
}

/** A key of the file, such as `identity.ttl` or `instances[].name`, and what may stand there. */
export interface Leaf {
  readonly key: string;
  readonly schema: z.core.$ZodType;
}

/** Every key that holds a value rather than keys. Where either may stand, both; of a list of maps, the list and their keys. */
export function leavesOf(schema: z.core.$ZodType, prefix = ''): readonly Leaf[] {
  const { def } = bare(schema)._zod;
  const leaf = { key: prefix, schema };
  if (def.type === 'array') {
    return [leaf, ...leavesOf(def.element, `${prefix}[]`).filter(({ key }) => key !== `${prefix}[]`)];
  }
  const shapes = shapesOf(schema);
  const inner = shapes.flatMap((shape) =>
    Object.entries(shape).flatMap(([key, value]) =>
      leavesOf(value, prefix === '' ? key : `${prefix}.${key}`),
    ),
  );
  return shapes.length === 0 || def.type === 'union' ? [leaf, ...inner] : inner;
}

/** What kind of value a leaf holds, wrappers apart: zod's own word (`number`, `boolean`, `array`, `enum`, `string`, `union`). */
export function kindOf({ schema }: Leaf): string {
  return bare(schema)._zod.def.type;
}
