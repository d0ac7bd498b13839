import type { CheckInput } from './check-input.ts';
import { ownText } from '../own-text.ts';
import { type Denied, denied } from './outcome.ts';
import { createRecent } from './recent.ts';

/** A model server: an object of the configured resource (an LLMInferenceService) in a namespace. */
export interface Model {
  readonly namespace: string;
  readonly name: string;
  /** `namespace/name` */
  readonly id: string;
}

export interface ModelOptions {
  /**
   * The one source of the model's name. Never several: a client's header or body must not outrank the path by
   * which Envoy routes. `header` and `metadata` only where the gateway itself routes by the same value.
   */
  readonly from: 'path' | 'context' | 'metadata' | 'header';
  /** For `path`: segments, of which one is `{namespace}` and one `{model}`. */
  readonly template: string;
  /** For `header`: its lower-case name; the value is `namespace/name`. */
  readonly header: string | undefined;
}

/** RFC 1123 label and subdomain, as Kubernetes names namespaces and objects. */
const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** First segments that belong to the token API. */
const neverNamespaces: ReadonlySet<string> = new Set(['v1', 'maas-api']);

/** Request → the model that it is for, by the one configured source. */
export function createReadModel(options: ModelOptions): (input: CheckInput) => Model | Denied {
  const { header } = options;
  const readers: Readonly<Record<ModelOptions['from'], () => (input: CheckInput) => Model | Denied>> = {
    path: () => createReadFromPath(options.template),
    context:
      () =>
      ({ contextExtensions }) =>
        modelOf(contextExtensions.get('tiergate.namespace'), contextExtensions.get('tiergate.model')),
    metadata:
      () =>
      ({ metadata }) =>
        modelFromId(metadata.get('model')),
    header: () => {
      if (header === undefined) throw new TypeError('model.header is needed where model.from is header');
      return ({ headers }) => modelFromId(headers.get(header));
    },
  };
  return readers[options.from]();
}

function createReadFromPath(template: string): (input: CheckInput) => Model | Denied {
  const segments = template.split('/').filter((segment) => segment !== '');
  const namespaceAt = segments.indexOf('{namespace}');
  const modelAt = segments.indexOf('{model}');
  if (namespaceAt < 0 || modelAt < 0) {
    throw new TypeError('model.template needs a segment {namespace} and a segment {model}');
  }
  function read(path: string): Model | Denied {
    // [0] is what stands before the first slash: nothing.
    const found = path.split('/', segments.length + 1);
    for (const [at, segment] of segments.entries()) {
      if (at !== namespaceAt && at !== modelAt && found[at + 1] !== segment) return unknown();
    }
    return modelOf(found[namespaceAt + 1], found[modelAt + 1]);
  }

  const models = createRecent<Model | Denied>(maxPaths);
  return (input) => {
    const path = pathname(input.path);
    let model = models.get(path);
    if (model === undefined) {
      model = read(path);
      if (path.length <= maxPathLength) models.set(ownText(path), model);
    }
    return model;
  };
}

/** Paths of requests are few and come again; of what somebody makes up, not much is kept. */
export const maxPaths = 4096;
export const maxPathLength = 256;

/** The path without its query. */
export function pathname(path: string): string {
  const query = path.indexOf('?');
  return query < 0 ? path : path.slice(0, query);
}

function modelFromId(id: unknown): Model | Denied {
  if (typeof id !== 'string') return unknown();
  const slash = id.indexOf('/');
  return modelOf(id.slice(0, Math.max(0, slash)), id.slice(slash + 1));
}

function modelOf(namespace: string | undefined, name: string | undefined): Model | Denied {
  if (namespace === undefined || name === undefined) return unknown();
  if (neverNamespaces.has(namespace) || !label.test(namespace)) return unknown();
  if (name.length > 253 || !subdomain.test(name)) return unknown();
  // Principals remember it, and verdicts.
  const id = ownText(`${namespace}/${name}`);
  return { namespace: ownText(namespace), name: ownText(name), id };
}

function unknown(): Denied {
  return denied('model_unknown', 'No model can be read from the request.');
}
