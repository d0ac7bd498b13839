import type { ObjectStore, StoreEvent } from './object-store.ts';
import type { StoredObject } from './objects.ts';
import { bookmark, type Representation, represent } from './representation.ts';
import type { Resource } from './resources.ts';
import { readSelector, type Selector } from './selectors.ts';
import { badRequest, expired, forbiddenField, invalid, qualifiedName } from './status.ts';

/** metav1.WatchEvent: one line of a watch. The object of an ERROR is a Status. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: unknown;
}

export interface WatchSink {
  readonly send: (event: WatchEvent) => void;
  /** Nothing is sent after it. */
  readonly end: () => void;
}

/** Sends what the watch begins with before it returns, then each change; returns the way to leave it. */
export type Watch = (sink: WatchSink) => () => void;

export interface WatchOptions {
  readonly store: ObjectStore;
  readonly resource: Resource;
  /** Undefined: all of them. */
  readonly namespace: string | undefined;
  readonly representation: Representation;
  readonly query: URLSearchParams;
}

/** The real server picks 30 to 60 minutes at random for a client that names no time. */
const defaultTimeoutSeconds = 1800;
/** Silence tells a client that its watch is dead; a bookmark tells it that nothing has happened. */
const bookmarkEveryMs = 60_000;
/** An upper bound for what setTimeout can count. */
const maxTimeoutSeconds = 86_400;

/**
 * Reads what a watch is asked for (`resourceVersion`, `sendInitialEvents`, `allowWatchBookmarks`,
 * `timeoutSeconds`; "Kubernetes API Concepts"); throws a StatusError (400, 422) for what can't be. A version
 * that has left the history is no such error: the stream then is one ERROR event, 410 Expired. Bookmarks are
 * sent at the end of the initial events, every minute as by the real server, and at the end of the time.
 */
export function openWatch({ store, resource, namespace, representation, query }: WatchOptions): Watch {
  const matches = readSelector(query);
  const selects: Selector = (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) && matches(object);
  const start = readStart(query);
  const timeoutMs = readTimeoutMs(query);
  const wantsBookmarks = isTrue(query.get('allowWatchBookmarks'));

  return ({ send, end }) => {
    const past = start.from === 'now' ? [] : store.eventsSince(resource, start.from);
    if (past === undefined) {
      const { body } = expired(`too old resource version: ${start.from} (${store.revision()})`);
      send({ type: 'ERROR', object: body });
      end();
      return () => undefined;
    }
    const sendChange = (event: StoreEvent) => {
      const isOfResource = qualifiedName(event.resource) === qualifiedName(resource);
      const seen = isOfResource ? asSeenBy(selects, event) : undefined;
      if (seen !== undefined) send({ type: seen.type, object: represent(seen.object, representation) });
    };
    if (start.withState)
      for (const object of store.list(resource, namespace).filter(matches))
        send({ type: 'ADDED', object: represent(object, representation) });
    if (start.marksEndOfState) {
      const annotations = { 'k8s.io/initial-events-end': 'true' };
      send({ type: 'BOOKMARK', object: bookmark(resource, store.revision(), representation, annotations) });
    }
    past.forEach(sendChange);
    const unsubscribe = store.subscribe(sendChange);
    const sendBookmark = () => {
      if (!wantsBookmarks) return;
      send({ type: 'BOOKMARK', object: bookmark(resource, store.revision(), representation) });
    };
    const bookmarks = setInterval(sendBookmark, bookmarkEveryMs);
    const leave = () => {
      clearTimeout(timer);
      clearInterval(bookmarks);
      unsubscribe();
    };
    const timer = setTimeout(() => {
      sendBookmark();
      leave();
      end();
    }, timeoutMs);
    return leave;
  };
}

interface Start {
  /** The revision after which changes are wanted. */
  readonly from: number | 'now';
  readonly withState: boolean;
  readonly marksEndOfState: boolean;
}

function readStart(query: URLSearchParams): Start {
  const version = query.get('resourceVersion') ?? '';
  const isAny = version === '' || version === '0';
  if (!isAny && !/^\d{1,15}$/.test(version)) throw badRequest(`invalid resource version: ${version}`);
  const initialEvents = query.get('sendInitialEvents');
  if (initialEvents === null)
    return { from: isAny ? 'now' : Number(version), withState: isAny, marksEndOfState: false };
  if (query.get('resourceVersionMatch') !== 'NotOlderThan')
    throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', [
      forbiddenField(
        'resourceVersionMatch',
        'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      ),
    ]);
  const wanted = isTrue(initialEvents);
  return { from: wanted || isAny ? 'now' : Number(version), withState: wanted, marksEndOfState: wanted };
}

function readTimeoutMs(query: URLSearchParams): number {
  const text = query.get('timeoutSeconds');
  const seconds = text === null || text === '0' ? defaultTimeoutSeconds : Number(text);
  if (!Number.isInteger(seconds) || seconds < 0) throw badRequest(`invalid timeoutSeconds: ${text}`);
  return Math.min(seconds, maxTimeoutSeconds) * 1000;
}

function isTrue(text: string | null): boolean {
  return text === 'true' || text === '1';
}

interface SeenChange {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: StoredObject;
}

/** A change through a selector: an object that begins to match is added, one that ceases to is deleted. */
function asSeenBy(selects: Selector, { type, object, previous }: StoreEvent): SeenChange | undefined {
  const was = previous !== undefined && selects(previous);
  const is = type !== 'DELETED' && selects(object);
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', object };
  if (!was) return undefined;
  const { resourceVersion } = object.metadata;
  return { type: 'DELETED', object: { ...previous, metadata: { ...previous.metadata, resourceVersion } } };
}
