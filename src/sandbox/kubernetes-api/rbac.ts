/**
 * Role-based access control, as a pure function of the policy (Kubernetes "Using RBAC Authorization"). One
 * evaluator for everybody's own requests and for SubjectAccessReview.
 */

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  /** `pods`, `pods/log`, `*`, or `*` with a subresource: every resource's subresource of that name. */
  readonly resources: readonly string[];
  /** Empty: whatever the name. */
  readonly resourceNames: readonly string[];
  /** Paths; a `*` at the end stands for any rest. */
  readonly nonResourceURLs: readonly string[];
}

export interface RoleRef {
  readonly kind: 'Role' | 'ClusterRole';
  readonly name: string;
}

export interface BindingSubject {
  readonly kind: 'User' | 'Group' | 'ServiceAccount';
  readonly name: string;
  /** Of a ServiceAccount; a RoleBinding's own when absent. */
  readonly namespace?: string;
}

export interface Binding {
  readonly kind: 'RoleBinding' | 'ClusterRoleBinding';
  readonly name: string;
  /** '' for a ClusterRoleBinding. */
  readonly namespace: string;
  readonly roleRef: RoleRef;
  readonly subjects: readonly BindingSubject[];
}

export interface RbacPolicy {
  readonly clusterRoleBindings: () => readonly Binding[];
  readonly roleBindings: (namespace: string) => readonly Binding[];
  /** The rules of a role as seen from a namespace; undefined if there is no such role. */
  readonly rulesOf: (roleRef: RoleRef, namespace: string) => readonly PolicyRule[] | undefined;
}

/** Who asks: exactly these groups, none is added. */
export interface Requester {
  readonly username: string;
  readonly groups: readonly string[];
}

export interface ResourceAccess {
  readonly verb: string;
  readonly group: string;
  /** The plural, without the subresource. */
  readonly resource: string;
  /** '' for the object itself. */
  readonly subresource: string;
  /** '' for the whole cluster: only cluster-wide bindings count. */
  readonly namespace: string;
  /** '' where no single object is meant. */
  readonly name: string;
}

export interface NonResourceAccess {
  readonly verb: string;
  readonly path: string;
}

export type Access = ResourceAccess | NonResourceAccess;

export interface Decision {
  readonly allowed: boolean;
  /** Which binding allowed it; '' otherwise. */
  readonly reason: string;
}

export function isResourceAccess<R extends ResourceAccess>(access: R | NonResourceAccess): access is R {
  return 'resource' in access;
}

/** Members may everything, whatever the policy. */
const privilegedGroup = 'system:masters';

export function decide(policy: RbacPolicy, requester: Requester, access: Access): Decision {
  if (requester.groups.includes(privilegedGroup)) return { allowed: true, reason: '' };
  for (const binding of bindingsFor(policy, access)) {
    const subject = binding.subjects.find((candidate) => isMeant(candidate, binding.namespace, requester));
    if (subject === undefined) continue;
    const rules = policy.rulesOf(binding.roleRef, binding.namespace) ?? [];
    if (rules.some((rule) => ruleAllows(rule, access)))
      return { allowed: true, reason: describe(binding, subject) };
  }
  return { allowed: false, reason: '' };
}

/**
 * Whether the requester may already do everything that the rules would allow. Each rule is taken apart into
 * single accesses; a `*` in it is asked for as it stands, and only a `*` in a held rule allows that.
 */
export function holdsRules(
  policy: RbacPolicy,
  requester: Requester,
  rules: readonly PolicyRule[],
  namespace: string,
): boolean {
  return rules
    .flatMap((rule) => accessesOf(rule, namespace))
    .every((access) => decide(policy, requester, access).allowed);
}

function accessesOf(rule: PolicyRule, namespace: string): readonly Access[] {
  const names = rule.resourceNames.length === 0 ? [''] : rule.resourceNames;
  return rule.verbs.flatMap((verb): readonly Access[] => [
    ...rule.nonResourceURLs.map((path) => ({ verb, path })),
    ...rule.apiGroups.flatMap((group) =>
      rule.resources.flatMap((text) => {
        const [resource = '', subresource = ''] = text.split('/');
        return names.map((name) => ({ verb, group, resource, subresource, namespace, name }));
      }),
    ),
  ]);
}

function bindingsFor(policy: RbacPolicy, access: Access): readonly Binding[] {
  const clusterWide = policy.clusterRoleBindings();
  if (!isResourceAccess(access) || access.namespace === '') return clusterWide;
  return [...clusterWide, ...policy.roleBindings(access.namespace)];
}

function isMeant(subject: BindingSubject, bindingNamespace: string, requester: Requester): boolean {
  if (subject.kind === 'User') return subject.name === requester.username;
  if (subject.kind === 'Group') return requester.groups.includes(subject.name);
  const namespace = subject.namespace ?? bindingNamespace;
  return namespace !== '' && requester.username === `system:serviceaccount:${namespace}:${subject.name}`;
}

function ruleAllows(rule: PolicyRule, access: Access): boolean {
  if (!includes(rule.verbs, access.verb)) return false;
  if (!isResourceAccess(access))
    return rule.nonResourceURLs.some((pattern) => pathMatches(pattern, access.path));
  return (
    includes(rule.apiGroups, access.group) &&
    resourceMatches(rule.resources, access) &&
    (rule.resourceNames.length === 0 || rule.resourceNames.includes(access.name))
  );
}

function includes(allowed: readonly string[], value: string): boolean {
  return allowed.includes('*') || allowed.includes(value);
}

function resourceMatches(allowed: readonly string[], { resource, subresource }: ResourceAccess): boolean {
  if (subresource === '') return includes(allowed, resource);
  return includes(allowed, `${resource}/${subresource}`) || allowed.includes(`*/${subresource}`);
}

function pathMatches(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}

function describe(binding: Binding, subject: BindingSubject): string {
  const where = (name: string, namespace: string) => (namespace === '' ? name : `${name}/${namespace}`);
  const subjectName =
    subject.kind === 'ServiceAccount'
      ? where(subject.name, subject.namespace ?? binding.namespace)
      : subject.name;
  return (
    `RBAC: allowed by ${binding.kind} "${where(binding.name, binding.namespace)}" ` +
    `of ${binding.roleRef.kind} "${binding.roleRef.name}" to ${subject.kind} "${subjectName}"`
  );
}
