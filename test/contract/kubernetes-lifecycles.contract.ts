import { describe, expect, it } from 'vitest';
import { at, itemsOf, versionOf } from '../sandbox/api-caller.ts';
import { eventually, mergePatch, refusal, type World } from './kubernetes-api-world.ts';

/** How objects end, and what ends with them. */
export function describeLifecycles(world: () => World): void {
  describe('deleting', () => {
    it('answers with a Status that names the uid, and 404 from then on', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const made = await make(`${path}/secrets`, { metadata: { name: 'a' } });
      expect(await admin('DELETE', `${path}/secrets/a`)).toMatchObject({
        status: 200,
        body: {
          kind: 'Status',
          status: 'Success',
          details: { name: 'a', kind: 'secrets', uid: at(made, 'metadata', 'uid') },
        },
      });
      expect(await admin('DELETE', `${path}/secrets/a`)).toMatchObject(refusal(404, 'NotFound'));
    });

    it('answers with the object itself where that is a ServiceAccount', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/serviceaccounts`, { metadata: { name: 'a' } });
      expect(await admin('DELETE', `${path}/serviceaccounts/a`)).toMatchObject({
        status: 200,
        body: { kind: 'ServiceAccount', metadata: { name: 'a' } },
      });
    });

    it('heeds preconditions on uid and version', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const made = await make(`${path}/configmaps`, { metadata: { name: 'a' } });
      const [uid, resourceVersion] = [at(made, 'metadata', 'uid'), versionOf(made)];
      const remove = (preconditions: object) =>
        admin('DELETE', `${path}/configmaps/a`, {
          body: { kind: 'DeleteOptions', apiVersion: 'v1', preconditions },
        });
      expect(await remove({ uid: 'another' })).toMatchObject(refusal(409, 'Conflict'));
      expect(await remove({ resourceVersion: '1' })).toMatchObject(refusal(409, 'Conflict'));
      expect(await remove({ uid, resourceVersion })).toMatchObject({ status: 200 });
    });

    it('keeps an object while it has finalizers, and takes no new ones', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/configmaps`, { metadata: { name: 'a', finalizers: ['example.org/hold'] } });
      const held = await admin('DELETE', `${path}/configmaps/a`);
      expect(held).toMatchObject({ status: 200, body: { kind: 'ConfigMap' } });
      expect(at(held.body, 'metadata', 'deletionTimestamp')).toMatch(/Z$/);
      const patch = (finalizers: readonly string[] | null) =>
        admin('PATCH', `${path}/configmaps/a`, {
          body: { metadata: { finalizers } },
          contentType: mergePatch,
        });
      expect(await patch(['example.org/hold', 'example.org/more'])).toMatchObject(refusal(422, 'Invalid'));
      expect(await admin('GET', `${path}/configmaps/a`)).toMatchObject({ status: 200 });
      expect(await patch(null)).toMatchObject({ status: 200 });
      expect(await admin('GET', `${path}/configmaps/a`)).toMatchObject(refusal(404, 'NotFound'));
    });

    it('deletes those of a collection that a selector chooses', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a', labels: { user: 'x' } } });
      await make(`${path}/secrets`, { metadata: { name: 'b', labels: { user: 'y' } } });
      expect(await admin('DELETE', `${path}/secrets?labelSelector=user%3Dx`)).toMatchObject({ status: 200 });
      expect(await admin('GET', `${path}/secrets/a`)).toMatchObject({ status: 404 });
      expect(await admin('GET', `${path}/secrets/b`)).toMatchObject({ status: 200 });
    });
  });

  describe('owners', () => {
    const owner = (name: string, uid: unknown) => ({
      ownerReferences: [{ apiVersion: 'v1', kind: 'ServiceAccount', name, uid }],
    });

    it('take what is theirs with them', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const account = await make(`${path}/serviceaccounts`, { metadata: { name: 'alice' } });
      const uid = at(account, 'metadata', 'uid');
      await make(`${path}/secrets`, { metadata: { name: 'hers', ...owner('alice', uid) } });
      await make(`${path}/secrets`, { metadata: { name: 'free' } });
      await admin('DELETE', `${path}/serviceaccounts/alice`);
      await expect
        .poll(async () => (await admin('GET', `${path}/secrets/hers`)).status, eventually)
        .toBe(404);
      expect(await admin('GET', `${path}/secrets/free`)).toMatchObject({ status: 200 });
    });

    it('can be deleted together with what is theirs', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const first = await make(`${path}/secrets`, { metadata: { name: 'a' } });
      const ownerReferences = [
        { apiVersion: 'v1', kind: 'Secret', name: 'a', uid: at(first, 'metadata', 'uid') },
      ];
      await make(`${path}/secrets`, { metadata: { name: 'b', ownerReferences } });
      expect(await admin('DELETE', `${path}/secrets`)).toMatchObject({ status: 200 });
      await expect
        .poll(async () => itemsOf((await admin('GET', `${path}/secrets`)).body), eventually)
        .toEqual([]);
    });

    it('that never were leave nothing', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      const uid = '00000000-0000-0000-0000-000000000000';
      await make(`${path}/secrets`, { metadata: { name: 'orphan', ...owner('nobody', uid) } });
      await expect
        .poll(async () => (await admin('GET', `${path}/secrets/orphan`)).status, eventually)
        .toBe(404);
    });

    it('must be named with their uid', async () => {
      const { admin } = world();
      const body = { metadata: { name: 'a', ...owner('b', undefined) } };
      const answer = await admin('POST', '/api/v1/namespaces/default/secrets', { body });
      expect(answer).toMatchObject(refusal(422, 'Invalid'));
    });
  });

  describe('namespaces', () => {
    it('are labelled with their name and have a default ServiceAccount', async () => {
      const { makeNamespace, admin } = world();
      const { name, path } = await makeNamespace();
      expect((await admin('GET', path)).body).toMatchObject({
        metadata: { labels: { 'kubernetes.io/metadata.name': name } },
        status: { phase: 'Active' },
      });
      const status = async () => (await admin('GET', `${path}/serviceaccounts/default`)).status;
      await expect.poll(status, eventually).toBe(200);
    });

    it('get their default ServiceAccount back when it is deleted, as another one', async () => {
      const { makeNamespace, api, admin, anyone } = world();
      const { path } = await makeNamespace();
      const uid = async () =>
        at((await admin('GET', `${path}/serviceaccounts/default`)).body, 'metadata', 'uid');
      await expect.poll(uid, eventually).toBeDefined();
      const stream = await anyone.watch(`${path}/serviceaccounts?watch=1`, { token: api.adminToken });
      await admin('DELETE', `${path}/serviceaccounts/default`);
      const lines = await stream.next(3);
      expect(lines.map(({ type }) => type)).toEqual(['ADDED', 'DELETED', 'ADDED']);
      expect(at(lines[2]?.object, 'metadata', 'uid')).not.toBe(at(lines[0]?.object, 'metadata', 'uid'));
      stream.close();
    });

    it('end with all that is in them', async () => {
      const { makeNamespace, make, admin } = world();
      const { name, path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a' } });
      expect(await admin('DELETE', path)).toMatchObject({
        status: 200,
        body: { kind: 'Namespace', metadata: { name }, status: { phase: 'Terminating' } },
      });
      await expect.poll(async () => (await admin('GET', path)).status, eventually).toBe(404);
      expect(await admin('GET', `${path}/secrets/a`)).toMatchObject({ status: 404 });
    });

    it('take nothing new while they end', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'held', finalizers: ['example.org/hold'] } });
      await admin('DELETE', path);
      expect(await admin('POST', `${path}/secrets`, { body: { metadata: { name: 'late' } } })).toMatchObject(
        refusal(403, 'Forbidden', { details: { causes: [{ reason: 'NamespaceTerminating' }] } }),
      );
      const release = { body: { metadata: { finalizers: null } }, contentType: mergePatch };
      expect(await admin('PATCH', `${path}/secrets/held`, release)).toMatchObject({ status: 200 });
    });
  });
}
