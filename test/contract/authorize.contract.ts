import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AccessQuestion } from '../../src/check/access.ts';
import { createAuthorize } from '../../src/kubernetes/subject-access-review.ts';
import { type AuthorizerWorld, createAuthorizerWorld, type StartCluster } from './authorizer-world.ts';
import { eventually, rbac, uniqueName } from './kubernetes-api-world.ts';

/** The port Authorize: what RBAC objects say about models, whether the models exist or not. */
export function describeAuthorize(name: string, start: StartCluster): void {
  describe(`access by ${name}`, () => {
    let world: AuthorizerWorld;
    let namespace: string;
    const tierGroup = 'system:serviceaccounts:maas-default-gateway-tier-premium';

    beforeAll(async () => {
      world = await createAuthorizerWorld(await start());
      namespace = uniqueName('llm');
      await world.admin('POST', '/api/v1/namespaces', { metadata: { name: namespace } });
      await world.admin('POST', `${rbac}/namespaces/${namespace}/roles`, {
        metadata: { name: 'llama-model-post-access' },
        rules: [
          {
            apiGroups: ['serving.kserve.io'],
            resources: ['llminferenceservices'],
            resourceNames: ['llama'],
            verbs: ['post'],
          },
        ],
      });
      await bind(tierGroup);
      await vi.waitFor(async () => expect(await ask()).toEqual({ namespace }), eventually);
    });
    afterAll(() => world.stop());

    const bind = (group: string) =>
      world.admin('POST', `${rbac}/namespaces/${namespace}/rolebindings`, {
        metadata: { name: `bind-${group.replaceAll(':', '-')}` },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'llama-model-post-access' },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: group }],
      });

    const ask = (question: Partial<AccessQuestion> = {}, verb = 'post') =>
      createAuthorize({
        client: world.client,
        group: 'serving.kserve.io',
        resource: 'llminferenceservices',
        verb,
      })({
        user: 'system:serviceaccount:maas-default-gateway-tier-premium:alice',
        uid: 'uid-alice',
        groups: [tierGroup, 'system:authenticated'],
        extra: {},
        namespace,
        name: 'llama',
        ...question,
      });

    const forbidden = { denied: true, reason: 'model_forbidden' };

    it('allows the model that a Role names, to the group that it is bound to', async () => {
      expect(await ask()).toEqual({ namespace });
    });

    it('costs one SubjectAccessReview', async () => {
      const before = world.cluster.countReviews('subjectaccessreviews');
      await ask();
      expect(world.cluster.countReviews('subjectaccessreviews')).toBe(before + 1);
    });

    it('says the same of a model that is forbidden, unknown or elsewhere', async () => {
      const answers = await Promise.all([
        ask({ name: 'qwen-large' }),
        ask({ name: uniqueName('nowhere') }),
        ask({ namespace: uniqueName('nowhere') }),
        ask({}, 'get'),
      ]);
      expect(answers[0]).toMatchObject(forbidden);
      for (const answer of answers) expect(answer).toEqual(answers[0]);
    });

    it('believes exactly the groups that it is told', async () => {
      expect(await ask({ groups: ['system:authenticated'] })).toMatchObject(forbidden);
      expect(await ask({ user: 'somebody else' })).toEqual({ namespace });
      expect(await ask({ groups: [] })).toMatchObject(forbidden);
    });

    it('takes what else is known of the caller along', async () => {
      expect(await ask({ extra: { 'example.org/Scopes': ['chat', 'read'] } })).toEqual({ namespace });
    });

    it('follows a change of the RoleBindings', async () => {
      const group = uniqueName('team');
      expect(await ask({ groups: [group] })).toMatchObject(forbidden);
      await bind(group);
      await vi.waitFor(async () => expect(await ask({ groups: [group] })).toEqual({ namespace }), eventually);
      await world.admin('DELETE', `${rbac}/namespaces/${namespace}/rolebindings/bind-${group}`);
      await vi.waitFor(
        async () => expect(await ask({ groups: [group] })).toMatchObject(forbidden),
        eventually,
      );
    });
  });
}
