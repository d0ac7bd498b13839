import { labelKeyFault, labelValueFault, nameFault } from './names.ts';
import { type Fields, isFields, isTextList, isTextMap, type Manifest, type ObjectMeta } from './objects.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import { badRequest, invalid, invalidField, type StatusCause, tooLongField } from './status.ts';

/** What of `metadata` a client decides; anything else in it is the server's and dropped, managedFields too. */
const clientFields: Readonly<Record<string, (value: unknown) => boolean>> = {
  name: isText,
  generateName: isText,
  namespace: isText,
  uid: isText,
  resourceVersion: isText,
  labels: isTextMap,
  annotations: isTextMap,
  ownerReferences: (value) => Array.isArray(value) && value.every(isFields),
  finalizers: isTextList,
};

/**
 * A request's body as an object of the resource. Throws a StatusError (400) when it is something else or has
 * fields of the wrong type. A built-in resource may leave out what it is, a custom one must say it.
 */
export function readManifest(resource: Resource, body: unknown): Manifest {
  if (!isFields(body))
    throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind})`);
  const apiVersion = apiVersionOf(resource);
  const { apiVersion: sentVersion, kind: sentKind, metadata, ...content } = body;
  if (resource.custom === true && (sentVersion === undefined || sentKind === undefined))
    throw badRequest(`the object provided is unrecognized (must be of type ${resource.kind})`);
  if ((sentVersion ?? apiVersion) !== apiVersion || (sentKind ?? resource.kind) !== resource.kind)
    throw badRequest(
      `${String(sentKind)} in version "${String(sentVersion)}" cannot be handled as a ${resource.kind}`,
    );
  return { apiVersion, kind: resource.kind, metadata: readMeta(resource, metadata), ...content };
}

function readMeta(resource: Resource, metadata: unknown): ObjectMeta {
  const sent: unknown = metadata ?? {};
  if (!isFields(sent)) throw badRequest(`metadata of a ${resource.kind} must be an object`);
  const kept: Record<string, unknown> = {};
  for (const [field, isRightType] of Object.entries(clientFields)) {
    const value = sent[field];
    // Empty is the same as absent, as it is for the real server's types.
    if (value === undefined || value === null || isEmpty(value)) continue;
    if (!isRightType(value)) throw badRequest(`metadata.${field} of a ${resource.kind} has the wrong type`);
    kept[field] = value;
  }
  return kept;
}

/** Throws a StatusError (422) that names every field of the metadata that can't be stored. */
export function validateMeta(resource: Resource, metadata: ObjectMeta): void {
  const { name = '', generateName = '' } = metadata;
  const faults: StatusCause[] = [];
  const nameProblem = nameFault(resource.nameRule, name);
  if (nameProblem !== undefined) {
    if (generateName !== '') faults.push(invalidField('metadata.generateName', generateName, nameProblem));
    faults.push(invalidField('metadata.name', name, nameProblem));
  }
  faults.push(...labelFaults(metadata), ...annotationFaults(metadata), ...ownerFaults(metadata));
  if (faults.length > 0) throw invalid(resource, name, faults);
}

function labelFaults({ labels = {} }: ObjectMeta): readonly StatusCause[] {
  return Object.entries(labels).flatMap(([key, value]) => {
    const problems = [
      { text: key, why: labelKeyFault(key) },
      { text: value, why: labelValueFault(value) },
    ];
    return problems.flatMap(({ text, why }) =>
      why === undefined ? [] : [invalidField('metadata.labels', text, why)],
    );
  });
}

const maxAnnotationBytes = 262_144;

function annotationFaults({ annotations = {} }: ObjectMeta): readonly StatusCause[] {
  const entries = Object.entries(annotations);
  const bytes = entries.reduce((sum, entry) => sum + Buffer.byteLength(entry.join('')), 0);
  const tooLong =
    bytes > maxAnnotationBytes ? [tooLongField('metadata.annotations', maxAnnotationBytes)] : [];
  return [
    ...tooLong,
    ...entries.flatMap(([key]) => {
      const why = labelKeyFault(key.toLowerCase());
      return why === undefined ? [] : [invalidField('metadata.annotations', key, why)];
    }),
  ];
}

function ownerFaults({ ownerReferences = [] }: ObjectMeta): readonly StatusCause[] {
  return ownerReferences.flatMap((owner: object) =>
    ['apiVersion', 'kind', 'name', 'uid'].flatMap((field) => {
      const value = (owner as Fields)[field];
      const isGiven = typeof value === 'string' && value !== '';
      return isGiven
        ? []
        : [invalidField(`metadata.ownerReferences.${field}`, value ?? '', 'must not be empty')];
    }),
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isEmpty(value: unknown): boolean {
  if (value === '') return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
