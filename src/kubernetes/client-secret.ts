import { createHash } from 'node:crypto';
import { DependencyError } from '../dependency-error.ts';
import {
  type DocumentFields,
  type DocumentStore,
  formatDocument,
  parseDocument,
  type StoredDocument,
} from '../register/document-store.ts';
import { createSecret, type Secret } from '../secret.ts';
import { malformed, statusMessage } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { isRecord, isTextMap } from './json-shape.ts';
import { listMetadata, unexpected } from './list-objects.ts';

/** On every Secret of ours; its value is the part: `record` or `state`. */
const ssoLabel = 'tiergate.dev/sso';
const keyAnnotation = 'tiergate.dev/key';
const documentKey = 'record.json';

export interface SecretStoreOptions {
  readonly client: Pick<KubernetesClient, 'request'>;
  readonly namespace: string;
  /** Keeps apart the folders of one namespace. A label value. */
  readonly part: string;
}

type Client = Pick<KubernetesClient, 'request'>;

/**
 * Documents as Secrets, one each. A client's id may hold capitals and blanks, so a Secret is named by a digest
 * of its key, which stands in an annotation. The whole document is `record.json`; its texts are keys of their
 * own as well, for whoever mounts the Secret or refers to one of them.
 */
export function createSecretStore({ client, namespace, part }: SecretStoreOptions): DocumentStore {
  const nameOf = (key: string): string =>
    `sso-${part}-${createHash('sha256').update(key).digest('hex').slice(0, 32)}`;
  const objectFor = (key: string, content: Secret, resourceVersion?: string): object => ({
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'tiergate.dev/sso',
    metadata: {
      name: nameOf(key),
      labels: { [ssoLabel]: part },
      annotations: { [keyAnnotation]: key },
      ...(resourceVersion !== undefined && { resourceVersion }),
    },
    data: dataFrom(content),
  });

  return {
    list: async () => {
      const objects = await listMetadata(client, collection(namespace), `${ssoLabel}=${part}`);
      return objects.flatMap(({ annotations, isEnding }) => {
        const key = annotations[keyAnnotation];
        return key === undefined || isEnding ? [] : [key];
      });
    },

    read: async (key, signal) => {
      const found = await readSecret(client, pathOf(namespace, nameOf(key)), signal);
      const text = found?.data[documentKey];
      if (found === undefined) return undefined;
      if (text === undefined) throw malformed(`Secret ${namespace}/${nameOf(key)} has no ${documentKey}`);
      return { content: createSecret(text), version: found.version };
    },

    write: (key, content, expected, signal) =>
      expected === undefined
        ? write(
            client,
            { method: 'POST', path: collection(namespace), body: objectFor(key, content) },
            signal,
          )
        : write(
            client,
            { method: 'PUT', path: pathOf(namespace, nameOf(key)), body: objectFor(key, content, expected) },
            signal,
          ),

    remove: async (key, signal) => {
      const path = pathOf(namespace, nameOf(key));
      const answer = await client.request({ method: 'DELETE', path, signal });
      if (answer.status !== 200 && answer.status !== 202 && answer.status !== 404) throw unexpected(answer);
    },
  };
}

/**
 * Secrets that people made, by their own names, each a document whose fields are the Secret's keys: where an
 * Initial Access Token is kept. Values that are JSON objects are read as such and written back as such.
 */
export function createNamedSecrets(client: Client, namespace: string): DocumentStore {
  const fieldsData = (content: Secret): Readonly<Record<string, string>> =>
    Object.fromEntries(
      Object.entries(parseDocument(content) ?? {}).map(([name, value]) => [
        name,
        encode(typeof value === 'string' ? value : JSON.stringify(value)),
      ]),
    );

  return {
    list: () => Promise.resolve([]),

    read: async (name, signal): Promise<StoredDocument | undefined> => {
      const found = await readSecret(client, pathOf(namespace, name), signal);
      if (found === undefined) return undefined;
      const fields = Object.fromEntries(
        Object.entries(found.data).map(([key, text]) => [key, fieldFrom(text)]),
      );
      return { content: formatDocument(fields), version: found.version };
    },

    // A merge: labels, annotations and owners that others gave the Secret are none of ours.
    write: (name, content, expected, signal) =>
      expected === undefined
        ? write(
            client,
            {
              method: 'POST',
              path: collection(namespace),
              body: { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data: fieldsData(content) },
            },
            signal,
          )
        : write(
            client,
            {
              method: 'PATCH',
              path: pathOf(namespace, name),
              contentType: 'application/merge-patch+json',
              body: { metadata: { resourceVersion: expected }, data: fieldsData(content) },
            },
            signal,
          ),

    remove: () => Promise.reject(new TypeError('a named Secret is not ours to remove')),
  };
}

interface FoundSecret {
  readonly version: string;
  /** Decoded. */
  readonly data: Readonly<Record<string, string>>;
}

async function readSecret(
  client: Client,
  path: string,
  signal: AbortSignal,
): Promise<FoundSecret | undefined> {
  const answer = await client.request({ method: 'GET', path, signal });
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw unexpected(answer);
  const found = versionAndData(answer.body);
  // Never the object itself in an error: it holds what is secret.
  if (found === undefined) throw malformed(`${path} is of another shape`);
  return found;
}

function versionAndData(body: unknown): FoundSecret | undefined {
  const metadata = isRecord(body) ? body['metadata'] : undefined;
  const version = isRecord(metadata) ? metadata['resourceVersion'] : undefined;
  const data = isRecord(body) ? (body['data'] ?? {}) : undefined;
  if (typeof version !== 'string' || !isTextMap(data)) return undefined;
  const decoded = Object.entries(data).map(([key, value]) => [
    key,
    Buffer.from(value, 'base64').toString('utf8'),
  ]);
  return { version, data: Object.fromEntries(decoded) as Record<string, string> };
}

interface Write {
  readonly method: 'POST' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly body: object;
  readonly contentType?: string;
}

/** Undefined: there is one already, it was changed meanwhile, or it is gone. */
async function write(client: Client, request: Write, signal: AbortSignal): Promise<string | undefined> {
  const answer = await client.request({ ...request, signal });
  if (answer.status === 409) return undefined;
  if (answer.status === 404) {
    if (request.method !== 'POST') return undefined;
    // Not the Secret is absent but what it would stand in.
    throw new DependencyError('kubernetes', 'misconfigured', { detail: statusMessage(answer) });
  }
  const version = answer.status < 300 ? versionAndData(answer.body)?.version : undefined;
  if (version === undefined) throw unexpected(answer);
  return version;
}

function dataFrom(content: Secret): Readonly<Record<string, string>> {
  const fields: DocumentFields = parseDocument(content) ?? {};
  const texts = Object.entries(fields).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && isDataKey(entry[0]),
  );
  return Object.fromEntries([
    ...texts.map(([name, value]) => [name, encode(value)] as const),
    [documentKey, encode(content.reveal())] as const,
  ]);
}

function isDataKey(name: string): boolean {
  return /^[-._a-zA-Z0-9]{1,253}$/.test(name);
}

function fieldFrom(text: string): unknown {
  if (!text.startsWith('{')) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function collection(namespace: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;
}

function pathOf(namespace: string, name: string): string {
  return `${collection(namespace)}/${encodeURIComponent(name)}`;
}
