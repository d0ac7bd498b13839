import { describe, expect, it } from 'vitest';
import { type ApiAnswer, at, textAt } from '../sandbox/api-caller.ts';
import { contractUsers, eventually, rbac, refusal, uniqueName, type World } from './kubernetes-api-world.ts';

const accessReviews = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
const apiGroup = 'rbac.authorization.k8s.io';
const models = { apiGroups: ['serving.kserve.io'], resources: ['llminferenceservices'], verbs: ['post'] };

/** RBAC: what SubjectAccessReview says, and that the server's own answers follow it. */
export function describeAccess(world: () => World): void {
  const ask = (spec: object): Promise<ApiAnswer> => world().admin('POST', accessReviews, { body: { spec } });

  async function isAllowed(spec: object): Promise<unknown> {
    const answer = await ask(spec);
    expect(answer).toMatchObject({ status: 201, body: { kind: 'SubjectAccessReview' } });
    return at(answer.body, 'status', 'allowed');
  }

  /** May the user post to a model? */
  const mayPost = (namespace: string, name: string, who: object) =>
    isAllowed({
      ...who,
      resourceAttributes: {
        group: 'serving.kserve.io',
        resource: 'llminferenceservices',
        verb: 'post',
        namespace,
        name,
      },
    });

  async function bind(namespace: string, rules: readonly object[], subject: object): Promise<string> {
    const { make } = world();
    const name = uniqueName('role');
    await make(`${rbac}/namespaces/${namespace}/roles`, { metadata: { name }, rules });
    await make(`${rbac}/namespaces/${namespace}/rolebindings`, {
      metadata: { name },
      roleRef: { apiGroup, kind: 'Role', name },
      subjects: [subject],
    });
    return name;
  }

  async function bindEverywhere(rules: readonly object[], subject: object): Promise<void> {
    const { make } = world();
    const name = uniqueName('contract');
    await make(`${rbac}/clusterroles`, { metadata: { name }, rules });
    await make(`${rbac}/clusterrolebindings`, {
      metadata: { name },
      roleRef: { apiGroup, kind: 'ClusterRole', name },
      subjects: [subject],
    });
  }

  const group = (name: string) => ({ apiGroup, kind: 'Group', name });
  const user = (name: string) => ({ apiGroup, kind: 'User', name });

  describe('SubjectAccessReview', () => {
    it('allows by group and by the name of the object', async () => {
      const { name: namespace } = await world().makeNamespace();
      const role = await bind(namespace, [{ ...models, resourceNames: ['llama'] }], group('premium'));
      const premium = { user: 'carol', groups: ['premium'] };
      await expect.poll(() => mayPost(namespace, 'llama', premium), eventually).toBe(true);
      expect(await mayPost(namespace, 'qwen-large', premium)).toBe(false);
      expect(await mayPost(namespace, 'llama', { user: 'carol' })).toBe(false);
      expect(await mayPost('default', 'llama', premium)).toBe(false);
      const answer = await ask({
        ...premium,
        resourceAttributes: {
          group: 'serving.kserve.io',
          resource: 'llminferenceservices',
          verb: 'post',
          namespace,
          name: 'llama',
        },
      });
      expect(answer.body).toMatchObject({
        spec: premium,
        status: {
          reason: `RBAC: allowed by RoleBinding "${role}/${namespace}" of Role "${role}" to Group "premium"`,
        },
      });
    });

    it('follows a binding that goes', async () => {
      const { name: namespace } = await world().makeNamespace();
      const role = await bind(namespace, [models], user('dora'));
      await expect.poll(() => mayPost(namespace, 'llama', { user: 'dora' }), eventually).toBe(true);
      await world().admin('DELETE', `${rbac}/namespaces/${namespace}/rolebindings/${role}`);
      await expect.poll(() => mayPost(namespace, 'llama', { user: 'dora' }), eventually).toBe(false);
    });

    it('trusts exactly the groups it is told', async () => {
      const { name: namespace } = await world().makeNamespace();
      await bind(namespace, [models], group('system:authenticated'));
      const told = { user: 'erik', groups: ['system:authenticated'] };
      await expect.poll(() => mayPost(namespace, 'llama', told), eventually).toBe(true);
      expect(await mayPost(namespace, 'llama', { user: 'erik' })).toBe(false);
      expect(await mayPost(namespace, 'llama', { user: 'erik', groups: ['system:masters'] })).toBe(true);
    });

    it('knows ServiceAccounts by their user name, of the namespace of the binding unless said', async () => {
      const { name: namespace } = await world().makeNamespace();
      await bind(namespace, [models], { kind: 'ServiceAccount', name: 'worker' });
      await bind(namespace, [models], { kind: 'ServiceAccount', name: 'guest', namespace: 'default' });
      const account = (of: string, name: string) => ({ user: `system:serviceaccount:${of}:${name}` });
      await expect.poll(() => mayPost(namespace, 'a', account('default', 'guest')), eventually).toBe(true);
      await expect.poll(() => mayPost(namespace, 'a', account(namespace, 'worker')), eventually).toBe(true);
      expect(await mayPost(namespace, 'a', account('default', 'worker'))).toBe(false);
      expect(await mayPost(namespace, 'a', account(namespace, 'guest'))).toBe(false);
    });

    it('keeps subresources apart from objects, and takes stars for all', async () => {
      const { name: namespace } = await world().makeNamespace();
      const may = (who: string, resource: string, subresource = '', verb = 'create') =>
        isAllowed({ user: who, resourceAttributes: { resource, subresource, verb, namespace } });
      await bind(
        namespace,
        [{ apiGroups: [''], resources: ['serviceaccounts/token'], verbs: ['create'] }],
        user('minter'),
      );
      await bind(namespace, [{ apiGroups: [''], resources: ['*'], verbs: ['create'] }], user('maker'));
      await bind(namespace, [{ apiGroups: [''], resources: ['*/token'], verbs: ['*'] }], user('tokens'));
      await expect.poll(() => may('tokens', 'serviceaccounts', 'token', 'any'), eventually).toBe(true);
      expect(await may('tokens', 'serviceaccounts')).toBe(false);
      expect(await may('minter', 'serviceaccounts', 'token')).toBe(true);
      expect(await may('minter', 'serviceaccounts')).toBe(false);
      expect(await may('maker', 'serviceaccounts', 'token')).toBe(true);
      expect(await may('maker', 'secrets')).toBe(true);
      expect(await may('maker', 'secrets', '', 'get')).toBe(false);
      expect(
        await isAllowed({
          user: 'maker',
          resourceAttributes: { group: 'apps', resource: 'x', verb: 'create', namespace },
        }),
      ).toBe(false);
    });

    it('needs a cluster-wide binding for the whole cluster and for paths', async () => {
      const everywhere = { user: 'frida', resourceAttributes: { resource: 'secrets', verb: 'list' } };
      const path = (text: string) => ({ user: 'frida', nonResourceAttributes: { path: text, verb: 'get' } });
      expect(await isAllowed(everywhere)).toBe(false);
      await bindEverywhere(
        [
          { apiGroups: [''], resources: ['secrets'], verbs: ['list'] },
          { nonResourceURLs: ['/metrics/*', '/exact'], verbs: ['get'] },
        ],
        user('frida'),
      );
      await expect.poll(() => isAllowed(everywhere), eventually).toBe(true);
      expect(await isAllowed(path('/metrics/pods'))).toBe(true);
      expect(await isAllowed(path('/exact'))).toBe(true);
      expect(await isAllowed(path('/exact/more'))).toBe(false);
    });

    it.each([
      ['nobody', { resourceAttributes: { verb: 'get', resource: 'secrets' } }, 'spec.user'],
      ['nothing', { user: 'a' }, 'spec.resourceAttributes'],
      [
        'two things at once',
        { user: 'a', resourceAttributes: { verb: 'get' }, nonResourceAttributes: { path: '/', verb: 'get' } },
        'spec.nonResourceAttributes',
      ],
    ])('answers 422 when it is asked about %s', async (_what, spec, field) => {
      expect(await ask(spec)).toMatchObject(refusal(422, 'Invalid', { details: { causes: [{ field }] } }));
    });
  });

  describe('roles at work', () => {
    it('let a delegator ask about others, and nobody else', async () => {
      const { make, makeNamespace, admin, anyone } = world();
      const { name: namespace, path } = await makeNamespace();
      await make(`${path}/serviceaccounts`, { metadata: { name: 'authorizer' } });
      const minted = await admin('POST', `${path}/serviceaccounts/authorizer/token`, { body: { spec: {} } });
      const token = textAt(minted.body, 'status', 'token');
      const review = () =>
        anyone.call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
          token,
          body: { spec: { token } },
        });
      expect(await review()).toMatchObject(refusal(403, 'Forbidden'));
      await make(`${rbac}/clusterrolebindings`, {
        metadata: { name: uniqueName('delegator') },
        roleRef: { apiGroup, kind: 'ClusterRole', name: 'system:auth-delegator' },
        subjects: [{ kind: 'ServiceAccount', name: 'authorizer', namespace }],
      });
      await expect.poll(async () => (await review()).status, eventually).toBe(201);
      const body = { spec: { user: 'x', resourceAttributes: { verb: 'get', resource: 'secrets' } } };
      expect(await anyone.call('POST', accessReviews, { token, body })).toMatchObject({ status: 201 });
      expect(await anyone.call('GET', `${path}/secrets`, { token })).toMatchObject({ status: 403 });
    });

    it('let a single object be listed and watched by its name', async () => {
      const { make, makeNamespace, anyone } = world();
      const { name: namespace, path } = await makeNamespace();
      await make(`${path}/configmaps`, { metadata: { name: 'tier-to-group-mapping' } });
      const rule = {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['tier-to-group-mapping'],
        verbs: ['get', 'list', 'watch'],
      };
      await bind(namespace, [rule], user('alice'));
      const { token } = contractUsers.alice;
      const one = `${path}/configmaps?fieldSelector=metadata.name%3Dtier-to-group-mapping`;
      await expect.poll(async () => (await anyone.call('GET', one, { token })).status, eventually).toBe(200);
      expect(await anyone.call('GET', `${path}/configmaps`, { token })).toMatchObject({ status: 403 });
      const stream = await anyone.watch(`${one}&watch=true`, { token });
      expect(await stream.next(1)).toMatchObject([{ type: 'ADDED' }]);
      stream.close();
    });

    it('let nobody grant more than they hold, unless they may bind', async () => {
      const { make, makeNamespace, anyone } = world();
      const { name: namespace } = await makeNamespace();
      const base = `${rbac}/namespaces/${namespace}`;
      const verbs = ['get', 'create', 'update', 'patch'];
      await bind(
        namespace,
        [{ apiGroups: [apiGroup], resources: ['roles', 'rolebindings'], verbs }],
        user('alice'),
      );
      await make(`${base}/roles`, {
        metadata: { name: 'reader' },
        rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
      });
      const as = { token: contractUsers.alice.token };
      const role = (name: string, rule: object) =>
        anyone.call('POST', `${base}/roles`, { ...as, body: { metadata: { name }, rules: [rule] } });
      const binding = (name: string, kind: string, to: string) =>
        anyone.call('POST', `${base}/rolebindings`, {
          ...as,
          body: { metadata: { name }, roleRef: { apiGroup, kind, name: to }, subjects: [user('alice')] },
        });
      const held = { apiGroups: [apiGroup], resources: ['roles'], verbs: ['get'] };
      await expect.poll(async () => (await role(uniqueName('held'), held)).status, eventually).toBe(201);
      const escalation = refusal(403, 'Forbidden', {
        message: expect.stringContaining('attempting to grant RBAC permissions not currently held'),
      });
      expect(await role('more', { apiGroups: [''], resources: ['secrets'], verbs: ['get'] })).toMatchObject(
        escalation,
      );
      expect(await role('star', { apiGroups: [apiGroup], resources: ['roles'], verbs: ['*'] })).toMatchObject(
        escalation,
      );
      expect(await binding('mine', 'Role', 'reader')).toMatchObject(escalation);
      expect(await binding('all', 'ClusterRole', 'cluster-admin')).toMatchObject(escalation);
      expect(await binding('absent', 'Role', 'none')).toMatchObject(refusal(404, 'NotFound'));
      const mayBind = {
        apiGroups: [apiGroup],
        resources: ['roles'],
        resourceNames: ['reader'],
        verbs: ['bind'],
      };
      await bind(namespace, [mayBind], user('alice'));
      await expect.poll(async () => (await binding('mine', 'Role', 'reader')).status, eventually).toBe(201);
      expect(await binding('all', 'ClusterRole', 'cluster-admin')).toMatchObject(escalation);
    });

    it.each([
      [
        'a rule without verbs',
        'roles',
        { rules: [{ apiGroups: [''], resources: ['secrets'] }] },
        'rules[0].verbs',
      ],
      [
        'a rule without resources',
        'roles',
        { rules: [{ apiGroups: [''], verbs: ['get'] }] },
        'rules[0].resources',
      ],
      [
        'a path in a Role',
        'roles',
        { rules: [{ nonResourceURLs: ['/x'], verbs: ['get'] }] },
        'rules[0].nonResourceURLs',
      ],
      ['a binding to no role', 'rolebindings', {}, 'roleRef.kind'],
      [
        'a subject of no kind',
        'rolebindings',
        { roleRef: { apiGroup, kind: 'Role', name: 'a' }, subjects: [{ kind: 'Robot', name: 'b' }] },
        'subjects[0].kind',
      ],
    ])('refuse %s', async (_what, resource, content, field) => {
      const body = { metadata: { name: 'bad' }, ...content };
      const answer = await world().admin('POST', `${rbac}/namespaces/default/${resource}`, { body });
      expect(answer).toMatchObject(refusal(422, 'Invalid'));
      expect(at(answer.body, 'details', 'causes', 0)).toMatchObject({ field });
    });

    it('answer 400 to rules of the wrong type', async () => {
      const body = { metadata: { name: 'bad' }, rules: 'all of them' };
      const answer = await world().admin('POST', `${rbac}/namespaces/default/roles`, { body });
      expect(answer).toMatchObject(refusal(400, 'BadRequest'));
    });

    it('keep the role that a binding was made for', async () => {
      const { name: namespace } = await world().makeNamespace();
      const role = await bind(namespace, [models], user('gerd'));
      const path = `${rbac}/namespaces/${namespace}/rolebindings/${role}`;
      const body = { metadata: { name: role }, roleRef: { apiGroup, kind: 'Role', name: 'another' } };
      expect(await world().admin('PUT', path, { body })).toMatchObject(
        refusal(422, 'Invalid', { details: { causes: [{ field: 'roleRef' }] } }),
      );
    });
  });
}
