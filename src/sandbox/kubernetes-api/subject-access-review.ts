import { type Fields, fieldsOf } from './objects.ts';
import type { Access, Decision, Requester } from './rbac.ts';
import { readReview, readText, readTexts } from './review-body.ts';
import { invalid, invalidField, type StatusCause } from './status.ts';

const subjectAccessReview = { group: 'authorization.k8s.io', kind: 'SubjectAccessReview' } as const;

/**
 * Answers a SubjectAccessReview by the same rules as the server's own requests. User and groups are trusted
 * as the spec names them: no group is added, not even `system:authenticated`.
 */
export function reviewSubjectAccess(
  body: unknown,
  authorize: (requester: Requester, access: Access) => Decision,
): unknown {
  const spec = fieldsOf(readReview(subjectAccessReview, body)['spec']);
  const requester = { username: readText(spec, 'user'), groups: readTexts(spec, 'groups') };
  const faults = specFaults(spec, requester);
  // The real server leaves out the kind in this one answer.
  if (faults.length > 0) throw invalid({ ...subjectAccessReview, kind: '' }, '', faults);
  const { allowed, reason } = authorize(requester, readAccess(spec));
  return {
    kind: subjectAccessReview.kind,
    apiVersion: `${subjectAccessReview.group}/v1`,
    metadata: {},
    spec,
    status: reason === '' ? { allowed } : { allowed, reason },
  };
}

function specFaults(spec: Fields, { username, groups }: Requester): readonly StatusCause[] {
  const faults: StatusCause[] = [];
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (resourceAttributes === undefined && nonResourceAttributes === undefined)
    faults.push(
      invalidField('spec.resourceAttributes', null, 'exactly one kind of attributes must be specified'),
    );
  if (resourceAttributes !== undefined && nonResourceAttributes !== undefined)
    faults.push(invalidField('spec.nonResourceAttributes', {}, 'cannot be combined with resourceAttributes'));
  if (username === '' && groups.length === 0)
    faults.push(invalidField('spec.user', '', 'at least one of user or group must be specified'));
  return faults;
}

function readAccess(spec: Fields): Access {
  const nonResource = spec['nonResourceAttributes'];
  if (nonResource !== undefined) {
    const attributes = fieldsOf(nonResource);
    return { verb: readText(attributes, 'verb'), path: readText(attributes, 'path') };
  }
  const attributes = fieldsOf(spec['resourceAttributes']);
  return {
    verb: readText(attributes, 'verb'),
    group: readText(attributes, 'group'),
    resource: readText(attributes, 'resource'),
    subresource: readText(attributes, 'subresource'),
    namespace: readText(attributes, 'namespace'),
    name: readText(attributes, 'name'),
  };
}
