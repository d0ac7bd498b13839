import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { type experimental, experimental as grpcExperimental, type ServerCredentials } from '@grpc/grpc-js';

/** Paths of PEM files. */
export interface TlsFiles {
  /** The server's certificate, with the chain up to what clients trust. */
  readonly cert: string;
  readonly key: string;
  /** Authorities of clients. With it every client has to show a certificate of theirs; without it none is asked. */
  readonly clientCa?: string | undefined;
}

export interface CertificateOptions {
  readonly files: TlsFiles;
  /**
   * How often the files are looked at, in milliseconds. They are read and compared rather than watched: a
   * mounted Secret changes by a swapped symlink two folders up, of which file watches do not tell.
   */
  readonly pollMs: number;
  /** Told once of files that can not be used; what was there before is used on. */
  readonly onError: (error: unknown) => void;
}

export interface Certificates {
  /** Of a grpc-js server that takes its certificate from here: new connections get the newest, open ones stay as they are. */
  readonly credentials: ServerCredentials;
  /** The same for Node's own TLS server. */
  readonly tls: () => TlsOptions;
  /** Called with every change. One listener at a time. */
  readonly onChange: (listener: (tls: TlsOptions) => void) => void;
  /** Looks at the files at once. Never rejects. */
  readonly reload: () => Promise<void>;
  readonly close: () => void;
}

interface Pems {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa: Buffer | undefined;
}

/** Reads the files, then goes on looking at them. Rejects if they can not be used to begin with. */
export async function openCertificates(options: CertificateOptions): Promise<Certificates> {
  const { files, pollMs, onError } = options;
  let current = await readPems(files);
  assertUsable(current);
  let lastComplaint = '';
  const identityListeners = new Set<experimental.IdentityCertificateUpdateListener>();
  const caListeners = new Set<experimental.CaCertificateUpdateListener>();

  let tellChange: (tls: TlsOptions) => void = () => undefined;

  const tls = (): TlsOptions => ({
    cert: current.cert,
    key: current.key,
    ...(current.clientCa !== undefined && {
      ca: current.clientCa,
      requestCert: true,
      rejectUnauthorized: true,
    }),
  });
  const identity = () => ({ certificate: current.cert, privateKey: current.key });
  const clientCa = () => (current.clientCa === undefined ? null : { caCertificate: current.clientCa });

  // Listeners are called a tick later than they come, because grpc-js is not ready for them at once.
  const provider: experimental.CertificateProvider = {
    addIdentityCertificateListener(listener) {
      identityListeners.add(listener);
      process.nextTick(() => listener(identity()));
    },
    removeIdentityCertificateListener(listener) {
      identityListeners.delete(listener);
    },
    addCaCertificateListener(listener) {
      caListeners.add(listener);
      process.nextTick(() => listener(clientCa()));
    },
    removeCaCertificateListener(listener) {
      caListeners.delete(listener);
    },
  };

  async function reload(): Promise<void> {
    try {
      const pems = await readPems(files);
      if (isSame(pems, current)) return;
      assertUsable(pems);
      current = pems;
      lastComplaint = '';
      for (const listener of caListeners) listener(clientCa());
      for (const listener of identityListeners) listener(identity());
      tellChange(tls());
    } catch (error) {
      if (String(error) !== lastComplaint) onError(error);
      lastComplaint = String(error);
    }
  }

  const timer = setInterval(() => void reload(), pollMs).unref();
  return {
    // NOTE: the typings name the first two the other way round; the first is the server's own certificate.
    credentials: grpcExperimental.createCertificateProviderServerCredentials(
      provider,
      files.clientCa === undefined ? null : provider,
      files.clientCa !== undefined,
    ),
    tls,
    onChange(listener) {
      tellChange = listener;
    },
    reload,
    close: () => clearInterval(timer),
  };
}

async function readPems({ cert, key, clientCa }: TlsFiles): Promise<Pems> {
  return {
    cert: await readFile(cert),
    key: await readFile(key),
    clientCa: clientCa === undefined ? undefined : await readFile(clientCa),
  };
}

function isSame(a: Pems, b: Pems): boolean {
  const sameCa =
    a.clientCa === undefined || b.clientCa === undefined
      ? a.clientCa === b.clientCa
      : a.clientCa.equals(b.clientCa);
  return sameCa && a.cert.equals(b.cert) && a.key.equals(b.key);
}

/** Throws where the key does not fit the certificate, as while one of the two files is written, and where one is no PEM. */
function assertUsable({ cert, key, clientCa }: Pems): void {
  createSecureContext({ cert, key, ca: clientCa });
  // A list without authorities is no error to OpenSSL, and would turn every client away.
  if (clientCa !== undefined) parseCertificate(clientCa);
}

function parseCertificate(pem: Buffer): X509Certificate {
  return new X509Certificate(pem);
}
