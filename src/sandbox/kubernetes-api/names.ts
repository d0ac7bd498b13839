import { randomBytes } from 'node:crypto';
import type { NameRule } from './resources.ts';

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const qualifiedPart = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

const nameFaultByRule: Readonly<Record<NameRule, (name: string) => string | undefined>> = {
  label: (name) => {
    if (name.length > 63) return 'must be no more than 63 characters';
    return label.test(name) ? undefined : 'must be a lowercase RFC 1123 label';
  },
  subdomain: (name) => {
    if (name.length > 253) return 'must be no more than 253 characters';
    return subdomain.test(name) ? undefined : 'must be a lowercase RFC 1123 subdomain';
  },
  'path-segment': (name) => {
    if (name === '.' || name === '..') return `may not be '${name}'`;
    return /[/%]/.test(name) ? "may not contain '/' or '%'" : undefined;
  },
};

/** Why a text can't be a name of that kind (RFC 1123, Kubernetes "Object Names and IDs"), or undefined. */
export function nameFault(rule: NameRule, name: string): string | undefined {
  return nameFaultByRule[rule](name);
}

/** Why a text can't be the key of a label or an annotation, or undefined. */
export function labelKeyFault(key: string): string | undefined {
  const [prefix, name] = key.includes('/') ? splitOnce(key, '/') : [undefined, key];
  if (prefix !== undefined && nameFault('subdomain', prefix.toLowerCase()) !== undefined)
    return 'prefix part must be a DNS-1123 subdomain';
  if (name.length > 63) return 'name part must be no more than 63 bytes';
  return qualifiedPart.test(name) ? undefined : 'name part must be alphanumeric, with -, _ or . between';
}

/** Why a text can't be the value of a label, or undefined. */
export function labelValueFault(value: string): string | undefined {
  if (value.length > 63) return 'must be no more than 63 bytes';
  return value === '' || qualifiedPart.test(value)
    ? undefined
    : 'must be alphanumeric, with -, _ or . between';
}

/** No vowels and no digits that look like letters, as the real server does it: no words by accident. */
const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';
const suffixLength = 5;
const maxGeneratedLength = 63;

/** `metadata.generateName` with a random suffix. */
export function generatedName(prefix: string): string {
  const suffix = Array.from(
    randomBytes(suffixLength),
    (byte) => suffixAlphabet[byte % suffixAlphabet.length],
  );
  return prefix.slice(0, maxGeneratedLength - suffixLength) + suffix.join('');
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + separator.length)];
}
