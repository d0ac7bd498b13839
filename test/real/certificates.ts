import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate and its private key, both PEM. */
interface Certificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface CertificateAuthority {
  readonly caPem: string;
  /** A certificate for servers and clients alike, good for a day. `hosts`: DNS names and IPv4 addresses. */
  readonly issue: (commonName: string, hosts: readonly string[]) => Certificate;
}

/**
 * A certificate authority for tests: ECDSA P-256, X.509 v3 as of RFC 5280, written here in DER because
 * Node can read certificates but not make them, and a machine without openssl should do.
 */
export function createCertificateAuthority(commonName: string): CertificateAuthority {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const caPem = certificate({
    subject: commonName,
    issuer: commonName,
    publicKey,
    signingKey: privateKey,
    extensions: [
      extension(oid.basicConstraints, sequence(boolean(true))),
      extension(oid.keyUsage, bitString(Buffer.of(0x06), 1)), // keyCertSign, cRLSign
    ],
  });
  return {
    caPem,
    issue: (subject, hosts) => {
      const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const certPem = certificate({
        subject,
        issuer: commonName,
        publicKey: keys.publicKey,
        signingKey: privateKey,
        extensions: [
          extension(oid.keyUsage, bitString(Buffer.of(0x80), 7)), // digitalSignature
          extension(oid.extendedKeyUsage, sequence(oid.serverAuth, oid.clientAuth)),
          extension(oid.subjectAltName, sequence(...hosts.map(generalName))),
        ],
      });
      return { certPem, keyPem: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
    },
  };
}

interface CertificateFields {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

const hourMs = 3_600_000;

function certificate(fields: CertificateFields): string {
  const toBeSigned = sequence(
    tagged(0xa0, integer(Buffer.of(2))), // version 3
    // Positive, and never two alike under one authority.
    integer(Buffer.concat([Buffer.of(0x01), randomBytes(15)])),
    sequence(oid.ecdsaWithSha256),
    distinguishedName(fields.issuer),
    sequence(utcTime(Date.now() - hourMs), utcTime(Date.now() + 24 * hourMs)),
    distinguishedName(fields.subject),
    fields.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...fields.extensions)),
  );
  const signature = sign('sha256', toBeSigned, fields.signingKey);
  const der = sequence(toBeSigned, sequence(oid.ecdsaWithSha256), bitString(signature, 0));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function generalName(host: string): Buffer {
  if (isIP(host) === 4) return tagged(0x87, Buffer.from(host.split('.').map(Number)));
  return tagged(0x82, Buffer.from(host, 'ascii'));
}

function distinguishedName(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(oid.commonName, tagged(0x0c, Buffer.from(commonName)))));
}

function extension(id: Buffer, value: Buffer): Buffer {
  return sequence(id, tagged(0x04, value));
}

/** YYMMDDHHMMSSZ. */
function utcTime(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replaceAll(/\D/g, '').slice(2, 14);
  return tagged(0x17, Buffer.from(`${digits}Z`));
}

function boolean(value: boolean): Buffer {
  return tagged(0x01, Buffer.of(value ? 0xff : 0x00));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function bitString(bytes: Buffer, unusedBits: number): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.of(unusedBits), bytes]));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

/** Tag, length, content. Lengths from 128 on take a byte that counts their own bytes, as few as will do. */
function tagged(tag: number, content: Buffer): Buffer {
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const digits = content.length.toString(16);
  const length = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, content]);
}

/** Object identifiers, each with its tag and length. */
const oid = {
  commonName: Buffer.from('0603550403', 'hex'),
  keyUsage: Buffer.from('0603551d0f', 'hex'),
  subjectAltName: Buffer.from('0603551d11', 'hex'),
  basicConstraints: Buffer.from('0603551d13', 'hex'),
  extendedKeyUsage: Buffer.from('0603551d25', 'hex'),
  serverAuth: Buffer.from('06082b06010505070301', 'hex'),
  clientAuth: Buffer.from('06082b06010505070302', 'hex'),
  ecdsaWithSha256: Buffer.from('06082a8648ce3d040302', 'hex'),
};
