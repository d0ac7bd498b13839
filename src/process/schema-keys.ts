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

/** Every key that holds a value rather than keys: `identity.ttl`. Where either may stand, both. */
export function leafKeys(schema: z.core.$ZodType, prefix = ''): readonly string[] {
  const shapes = shapesOf(schema);
  const isLeaf = shapes.length === 0 || bare(schema)._zod.def.type === 'union';
  const inner = shapes.flatMap((shape) =>
    Object.entries(shape).flatMap(([key, value]) =>
      leafKeys(value, prefix === '' ? key : `${prefix}.${key}`),
    ),
  );
  return isLeaf ? [prefix, ...inner] : inner;
}
