import { describe, expect, it } from 'vitest';
import { at, nameOf, versionOf, type WatchLine, type WatchStream } from '../sandbox/api-caller.ts';
import { mergePatch, partialObject, refusal, type World } from './kubernetes-api-world.ts';

const initialEvents = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';

/** Lists and watches together: a client that follows them misses nothing. */
export function describeWatches(world: () => World): void {
  const watch = (path: string, accept?: string): Promise<WatchStream> =>
    world().anyone.watch(path, {
      token: world().api.adminToken,
      ...(accept === undefined ? {} : { accept }),
    });
  const seen = (lines: readonly WatchLine[]) => lines.map(({ type, object }) => `${type} ${nameOf(object)}`);

  describe('watching', () => {
    it('sends what happens after the version of a list', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'before' } });
      const { body } = await admin('GET', `${path}/secrets`);
      await make(`${path}/secrets`, { metadata: { name: 'between' } });
      const stream = await watch(`${path}/secrets?watch=true&resourceVersion=${versionOf(body)}`);
      await make(`${path}/secrets`, { metadata: { name: 'a' } });
      const patch = { body: { metadata: { labels: { k: 'v' } } }, contentType: mergePatch };
      await admin('PATCH', `${path}/secrets/a`, patch);
      await admin('PATCH', `${path}/secrets/a`, patch);
      await admin('DELETE', `${path}/secrets/a`);
      const lines = await stream.next(4);
      expect(seen(lines)).toEqual(['ADDED between', 'ADDED a', 'MODIFIED a', 'DELETED a']);
      const versions = lines.map(({ object }) => Number(versionOf(object)));
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
      expect(new Set(versions).size).toBe(4);
      expect(lines[3]?.object).toMatchObject({ kind: 'Secret', metadata: { labels: { k: 'v' } } });
      stream.close();
    });

    it('begins with what is there when no version is named', async () => {
      const { makeNamespace, make } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a' } });
      const stream = await watch(`${path}/secrets?watch=1`);
      expect(seen(await stream.next(1))).toEqual(['ADDED a']);
      stream.close();
    });

    it('streams a list, ends it with a bookmark, and goes on', async () => {
      const { makeNamespace, make } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a' } });
      const stream = await watch(`${path}/secrets?watch=1&${initialEvents}`);
      const [added, bookmark] = await stream.next(2);
      expect(added).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'a' } } });
      expect(bookmark).toMatchObject({
        type: 'BOOKMARK',
        object: { kind: 'Secret', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } },
      });
      expect(versionOf(bookmark?.object)).toMatch(/^\d+$/);
      await make(`${path}/secrets`, { metadata: { name: 'b' } });
      expect(seen(await stream.next(1))).toEqual(['ADDED b']);
      stream.close();
    });

    it('refuses initial events without NotOlderThan', async () => {
      const path = '/api/v1/namespaces/default/secrets?watch=1&sendInitialEvents=true';
      expect(await world().admin('GET', path)).toMatchObject(refusal(422, 'Invalid'));
    });

    it('sends metadata alone when that is asked for', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a' }, stringData: { k: 'v' } });
      const stream = await watch(`${path}/secrets?watch=1&${initialEvents}`, partialObject);
      await admin('DELETE', `${path}/secrets/a`);
      const lines = await stream.next(3);
      expect(lines.map(({ type }) => type)).toEqual(['ADDED', 'BOOKMARK', 'DELETED']);
      for (const { object } of lines) {
        expect(object).toMatchObject({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' });
        expect(at(object, 'data')).toBeUndefined();
      }
      stream.close();
    });

    it('adds what begins to match a selector and deletes what ceases to', async () => {
      const { makeNamespace, make, admin } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a', labels: { tier: 'free' } } });
      await make(`${path}/secrets`, { metadata: { name: 'other' } });
      const stream = await watch(`${path}/secrets?watch=1&labelSelector=tier%3Dfree`);
      const label = (tier: string) =>
        admin('PATCH', `${path}/secrets/a`, {
          body: { metadata: { labels: { tier } } },
          contentType: mergePatch,
        });
      await label('premium');
      await admin('DELETE', `${path}/secrets/other`);
      await label('free');
      await admin('DELETE', `${path}/secrets/a`);
      const lines = await stream.next(4);
      expect(seen(lines)).toEqual(['ADDED a', 'DELETED a', 'ADDED a', 'DELETED a']);
      expect(at(lines[1]?.object, 'metadata', 'labels')).toEqual({ tier: 'free' });
      stream.close();
    });

    it('can be of one object by its name, or of all namespaces', async () => {
      const { makeNamespace, make } = world();
      const { path } = await makeNamespace();
      const one = await watch(`${path}/secrets?watch=1&fieldSelector=metadata.name%3Db`);
      const all = await watch(`/api/v1/secrets?watch=1&labelSelector=everywhere%3Dyes`);
      await make(`${path}/secrets`, { metadata: { name: 'a', labels: { everywhere: 'yes' } } });
      await make(`${path}/secrets`, { metadata: { name: 'b' } });
      expect(seen(await one.next(1))).toEqual(['ADDED b']);
      expect(seen(await all.next(1))).toEqual(['ADDED a']);
      one.close();
      all.close();
    });

    it('ends when its time is over', async () => {
      const { makeNamespace, make } = world();
      const { path } = await makeNamespace();
      await make(`${path}/secrets`, { metadata: { name: 'a' } });
      const stream = await watch(`${path}/secrets?watch=1&timeoutSeconds=1`);
      expect(seen(await stream.rest())).toEqual(['ADDED a']);
    });
  });
}
