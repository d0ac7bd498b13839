import { describe, expect, it } from 'vitest';
import { at, itemsOf, nameOf, textAt, versionOf } from '../sandbox/api-caller.ts';
import {
  applyPatch,
  contractUsers,
  mergePatch,
  partialList,
  partialObject,
  refusal,
  uniqueName,
  type World,
} from './kubernetes-api-world.ts';

/** Objects: how they are made, read, changed and refused. */
export function describeObjects(world: () => World): void {
  describe('creating', () => {
    it('fills in what the server owns', async () => {
      const { makeNamespace, make } = world();
      const { name, path } = await makeNamespace();
      expect(await make(`${path}/configmaps`, { metadata: { name: 'a' }, data: { k: 'v' } })).toMatchObject({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {
          name: 'a',
          namespace: name,
          uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
          resourceVersion: expect.stringMatching(/^\d+$/),
          creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        },
        data: { k: 'v' },
      });
    });

    it('makes a name from generateName', async () => {
      const { makeNamespace, make } = world();
      const { path } = await makeNamespace();
      const made = await make(`${path}/secrets`, { metadata: { generateName: 'tgt-' } });
      expect(nameOf(made)).toMatch(/^tgt-[a-z0-9]{5}$/);
    });

    it('encodes stringData of a Secret', async () => {
      const { makeNamespace, make } = world();
      const { path } = await makeNamespace();
      const secret = await make(`${path}/secrets`, {
        metadata: { name: 'a' },
        data: { kept: 'b2xk' },
        stringData: { plain: 'text' },
        type: 'tiergate.dev/access-token',
      });
      expect(secret).toMatchObject({
        data: { kept: 'b2xk', plain: 'dGV4dA==' },
        type: 'tiergate.dev/access-token',
      });
      expect(at(secret, 'stringData')).toBeUndefined();
      expect(await make(`${path}/secrets`, { metadata: { name: 'b' } })).toMatchObject({ type: 'Opaque' });
    });

    it('refuses a second object of the same name', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/configmaps`, { metadata: { name: 'a' } });
      expect(await admin('POST', `${path}/configmaps`, { body: { metadata: { name: 'a' } } })).toMatchObject(
        refusal(409, 'AlreadyExists', {
          message: 'configmaps "a" already exists',
          details: { name: 'a', kind: 'configmaps' },
        }),
      );
    });

    it('needs the namespace to exist', async () => {
      const path = '/api/v1/namespaces/none-such/configmaps';
      expect(await world().admin('POST', path, { body: { metadata: { name: 'a' } } })).toMatchObject(
        refusal(404, 'NotFound', { details: { name: 'none-such', kind: 'namespaces' } }),
      );
    });

    it.each([
      ['a namespace of 64 characters', '/api/v1/namespaces', 'a'.repeat(64)],
      ['a namespace with a dot', '/api/v1/namespaces', 'a.b'],
      ['an upper-case ServiceAccount', '/api/v1/namespaces/default/serviceaccounts', 'Alice'],
      ['a ServiceAccount with an @', '/api/v1/namespaces/default/serviceaccounts', 'alice@example.org'],
      ['a Role with a slash', `/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles`, 'a/b'],
    ])('refuses the name of %s', async (_what, path, name) => {
      const answer = await world().admin('POST', path, { body: { metadata: { name }, rules: undefined } });
      expect(answer).toMatchObject(refusal(422, 'Invalid', { details: { name } }));
      expect(at(answer.body, 'details', 'causes', 0)).toMatchObject({
        reason: 'FieldValueInvalid',
        field: 'metadata.name',
      });
    });

    it.each([
      ['a label whose value is an e-mail address', { labels: { user: 'a@b' } }, 'metadata.labels'],
      ['a label with two slashes', { labels: { 'a/b/c': 'd' } }, 'metadata.labels'],
      ['an annotation with a blank', { annotations: { 'a b': 'd' } }, 'metadata.annotations'],
      ['annotations over 256 KiB', { annotations: { a: 'x'.repeat(262_144) } }, 'metadata.annotations'],
    ])('refuses %s', async (_what, metadata, field) => {
      const body = { metadata: { name: 'a', ...metadata } };
      const answer = await world().admin('POST', '/api/v1/namespaces/default/serviceaccounts', { body });
      expect(answer).toMatchObject(refusal(422, 'Invalid'));
      expect(at(answer.body, 'details', 'causes', 0)).toMatchObject({ field });
    });

    it('needs a name or generateName', async () => {
      const answer = await world().admin('POST', '/api/v1/namespaces/default/configmaps', {
        body: { metadata: {} },
      });
      expect(answer).toMatchObject(
        refusal(422, 'Invalid', {
          details: { causes: [{ reason: 'FieldValueRequired', field: 'metadata.name' }] },
        }),
      );
    });

    it.each([
      ['no JSON', '{bad'],
      ['no body', ''],
      ['a list', []],
      ['another kind', { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }],
      ['another version', { apiVersion: 'v2', kind: 'ConfigMap', metadata: { name: 'a' } }],
      ['another namespace', { metadata: { name: 'a', namespace: 'kube-system' } }],
      ['a name that is a number', { metadata: { name: 5 } }],
      ['data that is no base64', { metadata: { name: 'a' }, data: { a: '%%%' } }, 'secrets'],
    ])('answers 400 to %s', async (_what, body, resource = 'configmaps') => {
      const answer = await world().admin('POST', `/api/v1/namespaces/default/${resource}`, { body });
      expect(answer).toMatchObject(refusal(400, 'BadRequest'));
    });

    it('answers 415 to another media type', async () => {
      const call = { body: 'a=b', contentType: 'application/x-www-form-urlencoded' };
      const answer = await world().admin('POST', '/api/v1/namespaces/default/configmaps', call);
      expect(answer).toMatchObject(refusal(415, 'UnsupportedMediaType'));
    });

    it('answers 413 to more than 3 MiB', async () => {
      const body = { metadata: { name: 'a' }, data: { a: 'x'.repeat(3_200_000) } };
      const answer = await world().admin('POST', '/api/v1/namespaces/default/configmaps', { body });
      expect(answer).toMatchObject(refusal(413, 'RequestEntityTooLarge'));
    });

    it('refuses a ConfigMap of more than 1 MiB', async () => {
      const body = { metadata: { name: 'a' }, data: { a: 'x'.repeat(1_048_577) } };
      const answer = await world().admin('POST', '/api/v1/namespaces/default/configmaps', { body });
      expect(answer).toMatchObject(refusal(422, 'Invalid'));
    });
  });

  describe('reading', () => {
    it('answers 404 for what is not there', async () => {
      const { admin } = world();
      expect(await admin('GET', '/api/v1/namespaces/default/configmaps/none')).toMatchObject(
        refusal(404, 'NotFound', {
          message: 'configmaps "none" not found',
          details: { name: 'none', kind: 'configmaps' },
        }),
      );
      expect(await admin('GET', '/apis/rbac.authorization.k8s.io/v1/clusterroles/none')).toMatchObject(
        refusal(404, 'NotFound', { message: 'clusterroles.rbac.authorization.k8s.io "none" not found' }),
      );
    });

    it('answers 404 for resources, groups and paths that it does not have', async () => {
      const { admin } = world();
      expect(await admin('GET', '/api/v1/namespaces/default/widgets')).toMatchObject(
        refusal(404, 'NotFound'),
      );
      expect(await admin('GET', '/apis/none.example.org/v1/widgets')).toMatchObject({ status: 404 });
      expect(await admin('GET', '/none')).toMatchObject({ status: 404 });
    });

    it('answers 405 where a method makes no sense', async () => {
      const { admin } = world();
      const refused = refusal(405, 'MethodNotAllowed');
      expect(await admin('DELETE', '/api/v1/namespaces')).toMatchObject(refused);
      expect(await admin('POST', '/api/v1/configmaps', { body: {} })).toMatchObject(refused);
      expect(await admin('PUT', '/api/v1/namespaces/default/configmaps', { body: {} })).toMatchObject(
        refused,
      );
      expect(await admin('GET', '/apis/authentication.k8s.io/v1/tokenreviews')).toMatchObject(refused);
    });

    it('lists with a version, in order, without repeating what the entries are', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      for (const name of ['b', 'a']) await make(`${path}/secrets`, { metadata: { name } });
      const { status, body } = await admin('GET', `${path}/secrets`);
      expect(status).toBe(200);
      expect(body).toMatchObject({ kind: 'SecretList', apiVersion: 'v1' });
      const items = itemsOf(body);
      expect(items.map(nameOf)).toEqual(['a', 'b']);
      expect(items.map((entry) => at(entry, 'kind'))).toEqual([undefined, undefined]);
      const versions = items.map((entry) => Number(versionOf(entry)));
      expect(Number(versionOf(body))).toBeGreaterThanOrEqual(Math.max(...versions));
    });

    it.each([
      ['labelSelector=tier%3Dfree', ['a']],
      ['labelSelector=tier%3D%3Dfree', ['a']],
      ['labelSelector=tier!%3Dfree', ['b', 'c']],
      ['labelSelector=tier', ['a', 'b']],
      ['labelSelector=!tier', ['c']],
      ['labelSelector=tier%3Dfree,user%3Dx', []],
      ['fieldSelector=metadata.name%3Dc', ['c']],
    ])('lists by %s', async (selector, expected) => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a', labels: { tier: 'free' } } });
      await make(`${path}/secrets`, { metadata: { name: 'b', labels: { tier: 'premium' } } });
      await make(`${path}/secrets`, { metadata: { name: 'c' } });
      const { body } = await admin('GET', `${path}/secrets?${selector}`);
      expect(itemsOf(body).map(nameOf)).toEqual(expected);
    });

    it.each(['labelSelector=a%3D%3D%3Db', 'fieldSelector=data.x%3Dy'])(
      'answers 400 to %s',
      async (selector) => {
        const answer = await world().admin('GET', `/api/v1/namespaces/default/secrets?${selector}`);
        expect(answer).toMatchObject(refusal(400, 'BadRequest'));
      },
    );

    it('lists across namespaces', async () => {
      const { makeNamespace, make, admin } = world();
      const name = uniqueName('everywhere');
      const made = [await makeNamespace(), await makeNamespace()];
      for (const { path } of made) await make(`${path}/configmaps`, { metadata: { name } });
      const { body } = await admin('GET', `/api/v1/configmaps?fieldSelector=metadata.name%3D${name}`);
      const namespaces = itemsOf(body).map((entry) => textAt(entry, 'metadata', 'namespace'));
      expect(new Set(namespaces)).toEqual(new Set(made.map((namespace) => namespace.name)));
    });

    it('lists nothing in a namespace that does not exist', async () => {
      const { status, body } = await world().admin('GET', '/api/v1/namespaces/none-such/secrets');
      expect({ status, items: at(body, 'items') }).toEqual({ status: 200, items: [] });
    });

    it('gives metadata alone when that is asked for', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a', labels: { k: 'v' } }, stringData: { a: 'b' } });
      const one = (await admin('GET', `${path}/secrets/a`, { accept: partialObject })).body;
      expect(one).toMatchObject({
        kind: 'PartialObjectMetadata',
        apiVersion: 'meta.k8s.io/v1',
        metadata: { name: 'a', labels: { k: 'v' } },
      });
      expect(at(one, 'data')).toBeUndefined();
      const accept = `application/vnd.kubernetes.protobuf;as=Unknown,${partialList},application/json`;
      const list = (await admin('GET', `${path}/secrets`, { accept })).body;
      expect(list).toMatchObject({
        kind: 'PartialObjectMetadataList',
        apiVersion: 'meta.k8s.io/v1',
        items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'a' } }],
      });
      expect(at(list, 'items', 0, 'data')).toBeUndefined();
    });

    it('answers 406 to representations that it does not have', async () => {
      const { admin } = world();
      const path = '/api/v1/namespaces/default/secrets';
      expect(await admin('GET', path, { accept: partialObject })).toMatchObject(
        refusal(406, 'NotAcceptable'),
      );
      expect(await admin('GET', path, { accept: 'text/html' })).toMatchObject(refusal(406, 'NotAcceptable'));
    });
  });

  describe('changing', () => {
    it('replaces, and keeps what the server owns', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const made = await make(`${path}/configmaps`, {
        metadata: { name: 'a', labels: { k: 'v' } },
        data: { old: '1' },
      });
      const body = { metadata: { name: 'a', creationTimestamp: '2001-01-01T00:00:00Z' }, data: { new: '2' } };
      const answer = await admin('PUT', `${path}/configmaps/a`, { body });
      expect(answer).toMatchObject({ status: 200, body: { data: { new: '2' } } });
      const [uid, creationTimestamp] = [
        at(made, 'metadata', 'uid'),
        at(made, 'metadata', 'creationTimestamp'),
      ];
      expect(answer.body).toMatchObject({ metadata: { uid, creationTimestamp } });
      expect(at(answer.body, 'metadata', 'labels')).toBeUndefined();
      expect(at(answer.body, 'data', 'old')).toBeUndefined();
    });

    it('keeps the version of what does not change', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const body = { metadata: { name: 'a' }, data: { k: 'v' } };
      const made = await make(`${path}/configmaps`, body);
      const again = await admin('PUT', `${path}/configmaps/a`, { body });
      expect(versionOf(again.body)).toBe(versionOf(made));
    });

    it('refuses a change of a version that is no longer the latest', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const made = await make(`${path}/configmaps`, { metadata: { name: 'a' } });
      const resourceVersion = versionOf(made);
      const change = { metadata: { name: 'a', resourceVersion }, data: { k: 'v' } };
      expect(await admin('PUT', `${path}/configmaps/a`, { body: change })).toMatchObject({ status: 200 });
      const stale = refusal(409, 'Conflict', { details: { name: 'a', kind: 'configmaps' } });
      expect(await admin('PUT', `${path}/configmaps/a`, { body: change })).toMatchObject(stale);
      const patch = { body: { metadata: { resourceVersion } }, contentType: mergePatch };
      expect(await admin('PATCH', `${path}/configmaps/a`, patch)).toMatchObject(stale);
      const other = { metadata: { name: 'a', uid: 'another' } };
      expect(await admin('PUT', `${path}/configmaps/a`, { body: other })).toMatchObject(stale);
    });

    it('needs body and path to name the same object, which exists', async () => {
      const { admin } = world();
      const put = (body: object) => admin('PUT', '/api/v1/namespaces/default/configmaps/a', { body });
      expect(await put({ metadata: { name: 'b' } })).toMatchObject(refusal(400, 'BadRequest'));
      expect(await put({ metadata: {} })).toMatchObject(refusal(400, 'BadRequest'));
      expect(await put({ metadata: { name: 'a' } })).toMatchObject(refusal(404, 'NotFound'));
    });

    it('creates a Lease by update, and changes it only by its version', async () => {
      const { makeNamespace, admin } = world();
      const { name } = await makeNamespace();
      const path = `/apis/coordination.k8s.io/v1/namespaces/${name}/leases/a`;
      const lease = (holderIdentity: string, metadata = {}) => ({
        body: { metadata: { name: 'a', ...metadata }, spec: { holderIdentity, leaseDurationSeconds: 15 } },
      });
      const created = await admin('PUT', path, lease('x'));
      expect(created).toMatchObject({ status: 201 });
      expect(await admin('PUT', path, lease('y'))).toMatchObject(
        refusal(422, 'Invalid', { details: { causes: [{ field: 'metadata.resourceVersion' }] } }),
      );
      const resourceVersion = versionOf(created.body);
      expect(await admin('PUT', path, lease('y', { resourceVersion }))).toMatchObject({ status: 200 });
      expect(await admin('PUT', path, lease('z', { resourceVersion }))).toMatchObject(
        refusal(409, 'Conflict'),
      );
    });

    it('merges a merge patch, in which null removes', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/configmaps`, {
        metadata: { name: 'a', labels: { x: 'y' } },
        data: { old: '1', kept: '2' },
      });
      const body = {
        metadata: { annotations: { 'tiergate.dev/user': 'alice' } },
        data: { old: null, new: '3' },
      };
      const answer = await admin('PATCH', `${path}/configmaps/a`, { body, contentType: mergePatch });
      expect(answer.status).toBe(200);
      expect(at(answer.body, 'data')).toEqual({ kept: '2', new: '3' });
      expect(at(answer.body, 'metadata')).toMatchObject({
        labels: { x: 'y' },
        annotations: { 'tiergate.dev/user': 'alice' },
      });
      const absent = await admin('PATCH', `${path}/configmaps/none`, { body, contentType: mergePatch });
      expect(absent).toMatchObject(refusal(404, 'NotFound'));
    });

    it('applies: creates what is absent, changes what is there', async () => {
      const { makeNamespace, admin } = world();
      const { path } = await makeNamespace();
      const apply = (data: object, query = '?fieldManager=contract') =>
        admin('PATCH', `${path}/configmaps/a${query}`, {
          body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data },
          contentType: applyPatch,
        });
      expect(await apply({ k: '1' }, '')).toMatchObject(refusal(422, 'Invalid'));
      expect(await apply({ k: '1' })).toMatchObject({ status: 201, body: { data: { k: '1' } } });
      expect(await apply({ k: '2' })).toMatchObject({ status: 200, body: { data: { k: '2' } } });
    });

    it('answers 415 to a patch of no known media type', async () => {
      const call = { body: {}, contentType: 'application/json' };
      const answer = await world().admin('PATCH', '/api/v1/namespaces/default/serviceaccounts/default', call);
      expect(answer).toMatchObject(refusal(415, 'UnsupportedMediaType'));
    });
  });

  describe('custom resources', () => {
    const manifest = (content: object) => ({
      apiVersion: 'serving.kserve.io/v1alpha1',
      kind: 'LLMInferenceService',
      metadata: { name: 'llama' },
      ...content,
    });

    it('must say what they are, and do so in lists', async () => {
      const { makeNamespace, make, admin } = world();
      const { name } = await makeNamespace();
      const path = `/apis/serving.kserve.io/v1alpha1/namespaces/${name}/llminferenceservices`;
      const answer = await admin('POST', path, { body: { metadata: { name: 'llama' } } });
      expect(answer).toMatchObject(refusal(400, 'BadRequest'));
      await make(path, manifest({ spec: { model: { name: 'llama' } } }));
      expect((await admin('GET', path)).body).toMatchObject({
        kind: 'LLMInferenceServiceList',
        items: [{ kind: 'LLMInferenceService', spec: { model: { name: 'llama' } } }],
      });
    });

    it('count the generations of their spec, and change only by their version', async () => {
      const { makeNamespace, make, admin } = world();
      const { name } = await makeNamespace();
      const path = `/apis/serving.kserve.io/v1alpha1/namespaces/${name}/llminferenceservices`;
      expect(await make(path, manifest({ spec: { a: 1 } }))).toMatchObject({ metadata: { generation: 1 } });
      const patch = (body: object) => admin('PATCH', `${path}/llama`, { body, contentType: mergePatch });
      expect(await patch({ metadata: { labels: { k: 'v' } } })).toMatchObject({
        body: { metadata: { generation: 1 } },
      });
      expect(await patch({ spec: { a: 2 } })).toMatchObject({ body: { metadata: { generation: 2 } } });
      const put = await admin('PUT', `${path}/llama`, { body: manifest({ spec: { a: 3 } }) });
      expect(put).toMatchObject(refusal(422, 'Invalid'));
    });
  });

  describe('callers', () => {
    it('are 401 without a token that the server knows', async () => {
      const { anyone } = world();
      const refused = refusal(401, 'Unauthorized', { message: 'Unauthorized' });
      expect(await anyone.call('GET', '/api/v1/namespaces')).toMatchObject(refused);
      expect(await anyone.call('GET', '/api/v1/namespaces', { token: 'unknown' })).toMatchObject(refused);
    });

    it.each([
      [
        'GET',
        '/api/v1/namespaces',
        'namespaces is forbidden: User "bob" cannot list resource "namespaces" in API group "" at the cluster scope',
      ],
      [
        'GET',
        '/api/v1/namespaces/default/secrets/x',
        'secrets "x" is forbidden: User "bob" cannot get resource "secrets" in API group "" in the namespace "default"',
      ],
      [
        'POST',
        '/api/v1/namespaces/default/serviceaccounts/x/token',
        'serviceaccounts "x" is forbidden: User "bob" cannot create resource "serviceaccounts/token" in API group "" in the namespace "default"',
      ],
      [
        'POST',
        '/apis/authentication.k8s.io/v1/tokenreviews',
        'tokenreviews.authentication.k8s.io is forbidden: User "bob" cannot create resource "tokenreviews" in API group "authentication.k8s.io" at the cluster scope',
      ],
      ['GET', '/openid/v1/jwks', 'forbidden: User "bob" cannot get path "/openid/v1/jwks"'],
    ])('are 403 in words: %s %s', async (method, path, message) => {
      const body = method === 'POST' ? {} : undefined;
      const answer = await world().anyone.call(method, path, { token: contractUsers.bob.token, body });
      expect(answer).toMatchObject(refusal(403, 'Forbidden', { message }));
    });

    it('may look at health and version, and at what there is', async () => {
      const { anyone } = world();
      const as = { token: contractUsers.bob.token };
      expect(await anyone.call('GET', '/readyz', as)).toMatchObject({ status: 200, body: 'ok' });
      expect(await anyone.call('GET', '/version', as)).toMatchObject({ status: 200, body: { major: '1' } });
      expect((await anyone.call('GET', '/api/v1', as)).body).toMatchObject({
        kind: 'APIResourceList',
        groupVersion: 'v1',
        resources: expect.arrayContaining([
          expect.objectContaining({ name: 'serviceaccounts', namespaced: true, kind: 'ServiceAccount' }),
          expect.objectContaining({ name: 'serviceaccounts/token', kind: 'TokenRequest', verbs: ['create'] }),
        ]),
      });
      expect((await anyone.call('GET', '/apis/serving.kserve.io', as)).body).toMatchObject({
        kind: 'APIGroup',
        preferredVersion: { groupVersion: 'serving.kserve.io/v1alpha1' },
      });
    });
  });
}
