import type { KubernetesClient } from './client.ts';
import { isRecord } from './json-shape.ts';
import { metadataAccept } from './kept-metadata.ts';
import type { Kept, ObjectChange } from './object-store.ts';
import { createObjectWatch, type ObjectWatch, type WatchState, type WatchTimings } from './object-watch.ts';
import type { CollectionPlace, RelayNews, RelayRequest, WatchNews } from './relay-news.ts';

export interface WatchRelayOptions {
  readonly client: Pick<KubernetesClient, 'request' | 'stream'>;
  readonly timings?: Partial<WatchTimings>;
  readonly now?: () => number;
}

/** Somebody to tell, as long as the object lives. */
export interface RelayListener {
  readonly send: (news: RelayNews) => void;
}

/** One watch of each collection at the API server, whoever and however many want to be told. */
export interface WatchRelay {
  readonly take: (listener: RelayListener, request: RelayRequest) => void;
  /** Ends all that this one follows. */
  readonly forget: (listener: RelayListener) => void;
  readonly stop: () => void;
}

/** An object as it is passed on. */
interface Passed extends Kept {
  readonly object: object;
}

interface Followed {
  readonly watch: ObjectWatch<Passed>;
  /** Whether it is known what there is, if only that there is nothing: some time before the watch is up. */
  isListed: boolean;
  /** By listener: the numbers that it calls this watch by. */
  readonly numbers: Map<RelayListener, Set<number>>;
}

/** A message each: short enough that a large list does not hold up what else is to be told. */
const listPieceObjects = 500;
const heardEveryMs = 1_000;
/** What our own annotations begin with; nobody here reads others. */
const annotationPrefix = 'tiergate.dev/';

export function createWatchRelay(options: WatchRelayOptions): WatchRelay {
  const { client, timings, now = Date.now } = options;
  const followedByPlace = new Map<string, Followed>();

  function follow(place: CollectionPlace): Followed {
    const numbers: Followed['numbers'] = new Map();
    const tell = (news: WatchNews): void => {
      for (const [listener, watches] of numbers) for (const watch of watches) listener.send({ watch, news });
    };
    let heardAtMs = 0;
    const watch: ObjectWatch<Passed> = createObjectWatch<Passed>({
      client,
      collection: { ...place, read: place.accept.list === metadataAccept.list ? readMetadata : readWhole },
      onChange: (change: ObjectChange<Passed>) => {
        if (change.type === 'set') tell({ type: 'set', object: change.object.object });
        else if (change.type === 'removed') tell({ type: 'removed', uid: change.object.uid });
        else {
          followed.isListed = true;
          for (const news of piecesOf(watch)) tell(news);
        }
      },
      onHeard() {
        if (now() - heardAtMs < heardEveryMs) return;
        heardAtMs = now();
        tell({ type: 'heard' });
      },
      onPhase: (state) => tell(phaseNews(state)),
      ...(timings !== undefined && { timings }),
      now,
    });
    const followed: Followed = { watch, numbers, isListed: false };
    return followed;
  }

  function start(listener: RelayListener, number: number, place: CollectionPlace): void {
    const key = keyOf(place);
    const known = followedByPlace.get(key);
    const followed = known ?? follow(place);
    if (known === undefined) followedByPlace.set(key, followed);
    const watches = followed.numbers.get(listener) ?? new Set();
    followed.numbers.set(listener, watches.add(number));
    const tell = (news: WatchNews): void => listener.send({ watch: number, news });
    if (followed.isListed) for (const news of piecesOf(followed.watch)) tell(news);
    const state = followed.watch.state();
    if (state.phase !== 'starting') tell(phaseNews(state));
  }

  function end(listener: RelayListener, isEnded: (number: number) => boolean): void {
    for (const [place, { watch, numbers }] of followedByPlace) {
      const watches = numbers.get(listener);
      if (watches === undefined) continue;
      for (const number of watches) if (isEnded(number)) watches.delete(number);
      if (watches.size === 0) numbers.delete(listener);
      if (numbers.size > 0) continue;
      watch.stop();
      followedByPlace.delete(place);
    }
  }

  return {
    take(listener, request) {
      if (request.type === 'follow') start(listener, request.watch, request.place);
      else end(listener, (number) => number === request.watch);
    },
    forget: (listener) => end(listener, () => true),
    stop() {
      for (const { watch } of followedByPlace.values()) watch.stop();
      followedByPlace.clear();
    },
  };
}

function keyOf({ path, labelSelector, fieldSelector, accept }: CollectionPlace): string {
  return JSON.stringify([path, labelSelector, fieldSelector, accept.list]);
}

function piecesOf(watch: Pick<ObjectWatch<Passed>, 'values'>): WatchNews[] {
  const objects = [...watch.values()].map(({ object }) => object);
  const count = Math.max(1, Math.ceil(objects.length / listPieceObjects));
  return Array.from({ length: count }, (_, index) => ({
    type: 'list',
    objects: objects.slice(index * listPieceObjects, (index + 1) * listPieceObjects),
    isLast: index === count - 1,
  }));
}

function phaseNews({ phase, sinceMs, fault }: WatchState): WatchNews {
  if (fault === undefined) return { type: 'phase', phase, sinceMs };
  const { code, message } = fault;
  // The error that is made of it says its dependency and code once more.
  const detail = message.replace(`${fault.dependency} ${code}: `, '');
  return { type: 'phase', phase, sinceMs, fault: { code, detail } };
}

function metadataOf(object: unknown): Readonly<Record<string, unknown>> | undefined {
  const metadata = isRecord(object) ? object['metadata'] : undefined;
  return isRecord(metadata) ? metadata : undefined;
}

/** Of an object that is followed for its metadata alone: a few hundred bytes. */
function readMetadata(object: unknown): Passed | undefined {
  const metadata = metadataOf(object);
  if (metadata === undefined) return undefined;
  const { namespace, name, uid, resourceVersion, deletionTimestamp, annotations } = metadata;
  if (typeof uid !== 'string') return undefined;
  const ours = Object.entries(isRecord(annotations) ? annotations : {}).filter(([key]) =>
    key.startsWith(annotationPrefix),
  );
  return {
    uid,
    object: {
      metadata: {
        namespace,
        name,
        uid,
        resourceVersion,
        deletionTimestamp,
        ...(ours.length > 0 && { annotations: Object.fromEntries(ours) }),
      },
    },
  };
}

function readWhole(object: unknown): Passed | undefined {
  const metadata = metadataOf(object);
  if (!isRecord(object) || metadata === undefined) return undefined;
  const { managedFields: _, ...kept } = metadata;
  return typeof kept['uid'] === 'string'
    ? { uid: kept['uid'], object: { ...object, metadata: kept } }
    : undefined;
}
