import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { type KeptMetadata, metadataCollection } from '../../src/kubernetes/kept-metadata.ts';
import type { ObjectChange } from '../../src/kubernetes/object-store.ts';
import {
  createObjectWatch,
  type ObjectWatch,
  type WatchPhase,
  type WatchTimings,
} from '../../src/kubernetes/object-watch.ts';
import {
  cut,
  type FaultAnswer,
  type FaultServer,
  hang,
  json,
  startFaultServer,
} from '../support/fault-server.ts';

const path = '/api/v1/namespaces/llm/serviceaccounts';

let server: FaultServer;
let client: KubernetesClient;
let watch: ObjectWatch<KeptMetadata>;
/** Watches that are open, as the server sees them. */
let streams: ServerResponse[];
let onList: FaultAnswer;
let onWatch: FaultAnswer;
let phases: WatchPhase[];
let changes: string[];

beforeEach(async () => {
  streams = [];
  phases = [];
  changes = [];
  onList = list('10');
  onWatch = openStream;
  server = await startFaultServer((response, request) => {
    (request.path.includes('watch=true') ? onWatch : onList)(response, request);
  });
  client = createKubernetesClient({
    connection: createFixedConnection({ server: server.url }),
    timeoutMs: 500,
  });
});
afterEach(async () => {
  watch.stop();
  client.close();
  await server.stop();
});

const openStream: FaultAnswer = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  streams.push(response);
};

const account = (name: string, resourceVersion = '1') => ({
  metadata: {
    namespace: 'llm',
    name,
    uid: `uid-${name}`,
    resourceVersion,
    annotations: { 'tiergate.dev/user': name, 'kubectl.kubernetes.io/last-applied-configuration': '{...}' },
    managedFields: [{ manager: 'x' }],
  },
});

function list(resourceVersion: string, names: readonly string[] = [], next?: string): FaultAnswer {
  const metadata = { resourceVersion, ...(next !== undefined && { continue: next }) };
  return json(200, { metadata, items: names.length === 0 ? null : names.map((name) => account(name)) });
}

const tell = (type: string, object: object): void => {
  streams.at(-1)?.write(`${JSON.stringify({ type, object })}\n`);
};

const paths = () => server.requests.map((request) => request.path.replace(path, ''));
const lists = () => paths().filter((query) => !query.includes('watch=true'));
const watches = () => paths().filter((query) => query.includes('watch=true'));

function start(timings: Partial<WatchTimings> = {}): ObjectWatch<KeptMetadata> {
  watch = createObjectWatch({
    client,
    collection: metadataCollection({ path, annotations: ['tiergate.dev/user'] }),
    timings: { minPauseMs: 1, maxPauseMs: 5, ...timings },
    onPhase: ({ phase }) => phases.push(phase),
    onChange: (change: ObjectChange<KeptMetadata>) =>
      changes.push(change.type === 'relisted' ? 'relisted' : `${change.type} ${change.object.name}`),
    random: () => 0,
  });
  return watch;
}

async function startUp(timings: Partial<WatchTimings> = {}): Promise<ObjectWatch<KeptMetadata>> {
  start(timings);
  await until(() => watch.state().phase === 'up');
  return watch;
}

const until = (condition: () => boolean) =>
  vi.waitFor(() => expect(condition()).toBe(true), { timeout: 3_000, interval: 2 });

const names = () => [...watch.values()].map(({ name }) => name).sort();

describe('an object watch', () => {
  it('lists, then watches from there, for metadata alone', async () => {
    onList = list('10', ['alice', 'bob']);
    await startUp();
    expect(names()).toEqual(['alice', 'bob']);
    expect(paths()).toEqual([
      '?limit=250',
      '?watch=true&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds=300',
    ]);
    expect(server.requests.map(({ headers }) => headers.accept)).toEqual([
      'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json',
      'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json',
    ]);
    expect(watch.state()).toMatchObject({ phase: 'up', objects: 2, fault: undefined });
  });

  it('tells of a phase with as many objects as there are when that is read', async () => {
    onList = list('10', ['alice']);
    await startUp();
    const toldAtFirst = watch.state();
    tell('ADDED', account('bob', '11'));
    await until(() => changes.includes('set bob'));
    expect(toldAtFirst.objects).toBe(2);
  });

  it('keeps no more of an object than was asked for', async () => {
    onList = list('10', ['alice']);
    await startUp();
    expect(watch.get('uid-alice')).toEqual({
      namespace: 'llm',
      name: 'alice',
      uid: 'uid-alice',
      annotations: { 'tiergate.dev/user': 'alice' },
    });
  });

  it('reads a list page by page, and none of it before the last', async () => {
    const pages: Readonly<Record<string, FaultAnswer>> = {
      '?limit=250': list('10', ['alice'], 'more/1'),
      '?limit=250&continue=more%2F1': list('10', ['bob'], 'more/2'),
    };
    onList = (response, request) => {
      const page = pages[request.path.replace(path, '')];
      if (page !== undefined) page(response, request);
      else {
        expect(watch.state()).toMatchObject({ phase: 'starting', objects: 0 });
        list('10', ['carol'])(response, request);
      }
    };
    await startUp();
    expect(names()).toEqual(['alice', 'bob', 'carol']);
    expect(lists()).toHaveLength(3);
  });

  it('is settled when an empty list is read', async () => {
    start();
    await watch.settled();
    expect(watch.state()).toMatchObject({ objects: 0 });
  });

  it('follows what is added, changed and removed', async () => {
    onList = list('10', ['alice']);
    await startUp();
    tell('ADDED', account('bob', '11'));
    tell('DELETED', account('alice', '12'));
    const changed = account('bob', '13');
    tell('MODIFIED', { metadata: { ...changed.metadata, annotations: { 'tiergate.dev/user': 'robert' } } });
    await until(() => watch.get('uid-bob')?.annotations['tiergate.dev/user'] === 'robert');
    expect(names()).toEqual(['bob']);
    expect(changes).toEqual(['relisted', 'set bob', 'removed alice', 'set bob']);
  });

  it('takes an object that was made again under its name for another one', async () => {
    onList = list('10', ['alice']);
    await startUp();
    const again = account('alice', '12');
    tell('DELETED', account('alice', '11'));
    tell('ADDED', { metadata: { ...again.metadata, uid: 'uid-of-another' } });
    await until(() => watch.get('uid-of-another') !== undefined);
    expect(watch.get('uid-alice')).toBeUndefined();
  });

  it('goes on where a watch ended, without a list and without counting as down', async () => {
    await startUp();
    tell('ADDED', account('bob', '11'));
    tell('BOOKMARK', { metadata: { resourceVersion: '42' } });
    await until(() => names().length === 1);
    streams.at(-1)?.end();
    await until(() => watches().length === 2);
    expect(watches()[1]).toContain('resourceVersion=42&');
    expect(lists()).toHaveLength(1);
    await until(() => streams.length === 2);
    expect(phases).toEqual(['up']);
  });

  it('that is cut off is down, keeps what it has, and goes on where it was', async () => {
    onList = list('10', ['alice']);
    await startUp();
    onWatch = cut;
    streams.at(-1)?.destroy();
    await until(() => watch.state().phase === 'down');
    expect(watch.state().fault).toMatchObject({ code: 'unreachable' });
    expect(names()).toEqual(['alice']);
    onWatch = openStream;
    await until(() => watch.state().phase === 'up');
    expect(lists()).toHaveLength(1);
    expect(phases).toEqual(['up', 'down', 'up']);
  });

  it('that falls silent is down', async () => {
    await startUp({ idleTimeoutMs: 30 });
    onWatch = hang;
    await until(() => watch.state().phase === 'down');
    expect(watch.state().fault).toMatchObject({ code: 'timeout' });
  });

  it('is down when the next watch is long in coming', async () => {
    await startUp({ graceMs: 30 });
    onWatch = hang;
    streams.at(-1)?.end();
    await until(() => watch.state().phase === 'down');
  });

  it.each<[string, () => void]>([
    ['by an event', () => tell('ERROR', { kind: 'Status', code: 410, reason: 'Expired' })],
    [
      'by a status',
      () => {
        let isTold = false;
        onWatch = (response, request) => {
          (isTold ? openStream : json(410, { kind: 'Status', code: 410 }))(response, request);
          isTold = true;
        };
        streams.at(-1)?.end();
      },
    ],
  ])('lists again when the server has forgotten where it was: %s', async (_name, expire) => {
    onList = list('10', ['alice', 'bob']);
    await startUp();
    onList = list('50', ['bob', 'carol']);
    expire();
    await until(() => names().includes('carol'));
    expect(names()).toEqual(['bob', 'carol']);
    expect(changes).toEqual(['relisted', 'removed alice', 'relisted']);
    await until(() => watches().some((query) => query.includes('resourceVersion=50')));
  });

  it('begins a list anew when its pages have expired', async () => {
    let attempts = 0;
    onList = (response, request) => {
      if (request.path.includes('continue')) {
        attempts += 1;
        (attempts === 1 ? json(410, { kind: 'Status', code: 410 }) : list('11', ['bob']))(response, request);
      } else list('10', ['alice'], 'next')(response, request);
    };
    await startUp();
    expect(names()).toEqual(['alice', 'bob']);
    expect(lists()).toEqual([
      '?limit=250',
      '?limit=250&continue=next',
      '?limit=250',
      '?limit=250&continue=next',
    ]);
  });

  it('lists again when the last list is old', async () => {
    await startUp({ relistMs: 0 });
    onList = list('20', ['alice']);
    tell('BOOKMARK', { metadata: { resourceVersion: '15' } });
    streams.at(-1)?.end();
    await until(() => names().includes('alice'));
  });

  it.each([403, 404])('that is refused with %i is settled, and tried again', async (status) => {
    onList = json(status, { kind: 'Status', message: 'not for you', code: status });
    start();
    await watch.settled();
    expect(watch.state()).toMatchObject({ phase: 'refused', fault: { code: 'misconfigured' } });
    expect(watch.state().fault?.message).toContain('not for you');
    onList = list('10', ['alice']);
    await until(() => watch.state().phase === 'up');
    expect(names()).toEqual(['alice']);
  });

  it.each<[string, FaultAnswer]>([
    ['401', json(401, {})],
    ['500', json(500, {})],
    ['nothing', cut],
    ['garbage', json(200, { items: 'none' })],
    ['objects without metadata', json(200, { metadata: { resourceVersion: '1' }, items: [{}] })],
  ])('is not settled while the list is answered with %s', async (_name, answer) => {
    onList = answer;
    start();
    const onSettled = vi.fn<() => void>();
    const settling = watch.settled().then(onSettled);
    await until(() => lists().length >= 3);
    expect(onSettled).not.toHaveBeenCalled();
    expect(watch.state().phase).toBe('starting');
    onList = list('10');
    await settling;
  });

  it.each<[string, string, object]>([
    ['of an unknown type', 'RENAMED', account('x', '11')],
    ['without a version', 'ADDED', { metadata: { name: 'x', uid: 'x' } }],
    ['of an object without a uid', 'ADDED', { metadata: { name: 'x', resourceVersion: '11' } }],
    ['of an error', 'ERROR', { kind: 'Status', code: 500, message: 'etcd is away' }],
  ])('meets an event %s by being down and watching anew', async (_name, type, object) => {
    await startUp();
    tell(type, object);
    await until(() => streams.length === 2 && watch.state().phase === 'up');
    expect(phases).toEqual(['up', 'down', 'up']);
  });

  it('does not ask in a loop where watches end at once', async () => {
    onWatch = (response) => void response.writeHead(200).end();
    start({ minPauseMs: 20, maxPauseMs: 1_000 });
    await watch.settled();
    await sleep(300);
    // At once, then after 20, 40, 80, 160 ms.
    expect(watches().length).toBeGreaterThanOrEqual(3);
    expect(watches().length).toBeLessThanOrEqual(6);
  });

  it('waits as long as an overloaded server asks for', async () => {
    onList = json(429, {}, { 'retry-after': '1' });
    start({ maxPauseMs: 20 });
    await until(() => watch.state().fault?.code === 'overloaded');
    // Bounded by ten times the longest pause, so that a server's mistake does not silence us for a day.
    await sleep(100);
    expect(lists()).toHaveLength(1);
    onList = list('10');
    await until(() => watch.state().phase === 'up');
  });

  it('ends its connection and asks no more when it is stopped', async () => {
    await startUp();
    const closed = new Promise((resolve) => streams.at(-1)?.on('close', resolve));
    watch.stop();
    await closed;
    const asked = server.requests.length;
    await sleep(30);
    expect(server.requests).toHaveLength(asked);
  });

  it('that is stopped before its first list is settled', async () => {
    onList = hang;
    start();
    watch.stop();
    await watch.settled();
  });
});
