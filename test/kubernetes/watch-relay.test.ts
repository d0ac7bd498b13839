import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { type KeptMetadata, metadataCollection } from '../../src/kubernetes/kept-metadata.ts';
import { createObjectWatch, type ObjectWatch } from '../../src/kubernetes/object-watch.ts';
import { createRelayFollower, type RelayFollower } from '../../src/kubernetes/relay-follower.ts';
import type { RelayNews, RelayRequest } from '../../src/kubernetes/relay-news.ts';
import { createWatchRelay, type RelayListener, type WatchRelay } from '../../src/kubernetes/watch-relay.ts';
import { type FaultAnswer, type FaultServer, json, startFaultServer } from '../support/fault-server.ts';

const path = '/api/v1/namespaces/llm/serviceaccounts';

let server: FaultServer;
let client: KubernetesClient;
let relay: WatchRelay;
let streams: ServerResponse[];
let onList: FaultAnswer;
/** The watch itself is not open before. */
let mayOpen: Promise<void>;
let watches: ObjectWatch<KeptMetadata>[];

beforeEach(async () => {
  streams = [];
  watches = [];
  mayOpen = Promise.resolve();
  onList = list('10', ['ada', 'bob']);
  server = await startFaultServer((response, request) => {
    if (!request.path.includes('watch=true')) {
      onList(response, request);
      return;
    }
    void openStream(response);
  });
  client = createKubernetesClient({
    connection: createFixedConnection({ server: server.url }),
    timeoutMs: 500,
  });
  relay = createWatchRelay({ client, timings: { minPauseMs: 1, maxPauseMs: 5, graceMs: 10_000 } });
});

async function openStream(response: ServerResponse): Promise<void> {
  await mayOpen;
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  streams.push(response);
}

afterEach(async () => {
  for (const watch of watches) watch.stop();
  relay.stop();
  client.close();
  await server.stop();
});

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

function list(resourceVersion: string, names: readonly string[]): FaultAnswer {
  return json(200, { metadata: { resourceVersion }, items: names.map((name) => account(name)) });
}

function tell(type: string, object: object): void {
  streams.at(-1)?.write(`${JSON.stringify({ type, object })}\n`);
}

/** Another process: what passes between the two is text. */
interface Other {
  readonly follower: RelayFollower;
  readonly listener: RelayListener;
  readonly messages: readonly RelayNews[];
}

function join(): Other {
  const messages: RelayNews[] = [];
  const follower = createRelayFollower({
    send: (request) => relay.take(listener, JSON.parse(JSON.stringify(request)) as RelayRequest),
  });
  const listener: RelayListener = {
    send: (news) => {
      const passed = JSON.parse(JSON.stringify(news)) as RelayNews;
      messages.push(passed);
      follower.take(passed);
    },
  };
  return { follower, listener, messages };
}

function follow({ follower }: Other, onChange?: () => void): ObjectWatch<KeptMetadata> {
  const watch = createObjectWatch({
    client: { ...client, followElsewhere: follower.followElsewhere },
    collection: metadataCollection({ path, annotations: ['tiergate.dev/user'] }),
    ...(onChange !== undefined && { onChange }),
  });
  watches.push(watch);
  return watch;
}

const names = (watch: ObjectWatch<KeptMetadata>) => [...watch.values()].map(({ name }) => name).toSorted();

it('follows once at the API server for everybody who wants to be told', async () => {
  const [first, second] = [follow(join()), follow(join())];
  await Promise.all([first.settled(), second.settled()]);
  tell('ADDED', account('eve', '11'));
  tell('DELETED', account('ada', '12'));
  for (const watch of [first, second]) {
    await vi.waitFor(() => expect(names(watch)).toEqual(['bob', 'eve']));
    expect(watch.isUp()).toBe(true);
    expect(watch.get('uid-bob')?.annotations).toEqual({ 'tiergate.dev/user': 'bob' });
  }
  expect(server.requests).toHaveLength(2);
});

it('gives somebody who comes later what there is', async () => {
  const first = follow(join());
  await first.settled();
  tell('ADDED', account('eve', '11'));
  await vi.waitFor(() => expect(first.get('uid-eve')).toBeDefined());
  const late = follow(join());
  await late.settled();
  expect(names(late)).toEqual(['ada', 'bob', 'eve']);
  expect(server.requests).toHaveLength(2);
});

it('tells somebody who comes between the list and the watch that there is nothing', async () => {
  onList = list('10', []);
  let open: () => void = () => undefined;
  mayOpen = new Promise((resolve) => {
    open = resolve;
  });
  const [early, late] = [vi.fn<() => void>(), vi.fn<() => void>()];
  const first = follow(join(), early);
  await vi.waitFor(() => expect(early).toHaveBeenCalledWith({ type: 'relisted' }));
  const second = follow(join(), late);
  open();
  await Promise.all([first.settled(), second.settled()]);
  expect(late).toHaveBeenCalledWith({ type: 'relisted' });
});

it('tells of a removal that only a new list shows', async () => {
  const removed = vi.fn<() => void>();
  const watch = follow(join(), removed);
  await watch.settled();
  removed.mockClear();
  onList = list('20', ['bob']);
  tell('ERROR', { kind: 'Status', code: 410 });
  await vi.waitFor(() => expect(names(watch)).toEqual(['bob']));
  expect(removed).toHaveBeenCalledWith({ type: 'removed', object: expect.objectContaining({ name: 'ada' }) });
});

it('says that it is down, and why, and that it is up again', async () => {
  const watch = follow(join());
  await watch.settled();
  onList = json(500, { kind: 'Status', message: 'no' });
  tell('ERROR', { kind: 'Status', code: 410 });
  await vi.waitFor(() => expect(watch.state()).toMatchObject({ phase: 'down', fault: { code: 'failed' } }));
  expect(watch.state().fault?.message).toBe('kubernetes failed: HTTP 500');
  onList = list('30', ['bob']);
  await vi.waitFor(() => expect(watch.isUp()).toBe(true));
});

it('settles where the API server refuses', async () => {
  onList = json(403, { kind: 'Status', message: 'forbidden' });
  const watch = follow(join());
  await watch.settled();
  expect(watch.state()).toMatchObject({ phase: 'refused', fault: { code: 'misconfigured' } });
});

it('takes what it holds for behind while the process that watches is silent', async () => {
  const other = join();
  const watch = follow(other);
  await watch.settled();
  other.follower.silent();
  expect(watch.state()).toMatchObject({ phase: 'down', fault: { code: 'timeout' } });
  expect(names(watch)).toEqual(['ada', 'bob']);
  other.follower.heard();
  expect(watch.isUp()).toBe(true);
});

it('passes a long list on in pieces, and nothing of it counts before the last one', async () => {
  const many = Array.from({ length: 1_201 }, (_, index) => `account-${index}`);
  onList = list('10', many);
  const other = join();
  const sizes: number[] = [];
  const watch = follow(other, () => sizes.push(names(watch).length));
  await watch.settled();
  expect(other.messages.filter(({ news }) => news.type === 'list')).toHaveLength(3);
  expect(sizes).toEqual([1_201]);
});

it('passes on no more of an object than its metadata, without what others write there', async () => {
  const other = join();
  await follow(other).settled();
  const [piece] = other.messages.flatMap(({ news }) => (news.type === 'list' ? news.objects : []));
  expect(piece).toEqual({
    metadata: {
      namespace: 'llm',
      name: 'ada',
      uid: 'uid-ada',
      resourceVersion: '1',
      annotations: { 'tiergate.dev/user': 'ada' },
    },
  });
});

it('ends its watch when the last one has gone, and not before', async () => {
  const [first, second] = [join(), join()];
  const left = follow(first);
  await Promise.all([left.settled(), follow(second).settled()]);
  const ended = vi.fn<() => void>();
  streams.at(-1)?.on('close', ended);
  left.stop();
  expect(ended).not.toHaveBeenCalled();
  relay.forget(second.listener);
  await vi.waitFor(() => expect(ended).toHaveBeenCalled());
});
