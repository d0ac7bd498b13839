import { type Fields, isFields, type Manifest } from './objects.ts';
import type { Resource } from './resources.ts';
import { badRequest, invalid, requiredField, unsupportedMediaType } from './status.ts';

/**
 * A patch, as its media type says. `merge` is RFC 7396. `apply` creates what is not there, and is merged into
 * what is: unlike with the real server, whose field managers remember who set what, applying again without
 * a field does not remove it.
 */
export interface Patch {
  readonly kind: 'merge' | 'apply';
  readonly content: Fields;
}

const kindByMediaType: Readonly<Record<string, Patch['kind']>> = {
  'application/merge-patch+json': 'merge',
  'application/apply-patch+yaml': 'apply',
};

/**
 * Throws a StatusError: 415 for JSON patch and strategic merge patch, which the real server knows, 400 for a
 * body that is no object, 422 for an apply patch that does not say who applies. YAML must be JSON here.
 */
export function readPatch(mediaType: string, query: URLSearchParams, body: unknown): Patch {
  const kind = kindByMediaType[mediaType];
  if (kind === undefined)
    throw unsupportedMediaType(`accepted media types of a patch: ${Object.keys(kindByMediaType).join(', ')}`);
  if (kind === 'apply' && (query.get('fieldManager') ?? '') === '')
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [
      requiredField('fieldManager', 'is required for apply patch'),
    ]);
  if (!isFields(body)) throw badRequest('a patch must be a JSON object');
  if (kind === 'apply' && (body['kind'] === undefined || body['apiVersion'] === undefined))
    throw badRequest('an apply patch must name its kind and apiVersion');
  return { kind, content: body };
}

/** The object that an apply patch creates where there is none. */
export function appliedToNothing(resource: Resource, name: string, patch: Patch): unknown {
  const metadata = patch.content['metadata'];
  return {
    kind: resource.kind,
    ...patch.content,
    metadata: { name, ...(isFields(metadata) ? metadata : {}) },
  };
}

/** RFC 7396: null removes, objects are merged, anything else replaces. */
export function mergePatch(target: Manifest, patch: Patch): unknown {
  return merge(target, patch.content);
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const merged: Record<string, unknown> = { ...(isFields(target) ? target : {}) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}
