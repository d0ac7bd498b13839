import { readFileSync } from 'node:fs';
import { looksLikePolicy, parsePolicyManifest } from '../policy/parse-policy.ts';
import type { Policy } from '../policy/policy.ts';
import type { Config } from '../process/config.ts';
import { ConfigMistakes } from '../process/config-mistakes.ts';
import { policyOptions } from './load-policy.ts';

/**
 * A policy document for commands: a file as `policy.file` names one, or the manifest of its ConfigMap. Throws
 * ConfigMistakes.
 */
export function readPolicyDocument(path: string, config: Config): Policy {
  const parsed = parsePolicyManifest(readDocument(path), policyOptions(config));
  if (!parsed.valid) throw new ConfigMistakes(path, parsed.mistakes);
  return parsed.policy;
}

/** Whether a file that was given as a process file is a policy document. Of one that can not be read: no. */
export function isPolicyDocument(path: string): boolean {
  try {
    return looksLikePolicy(readFileSync(path, 'utf8'));
  } catch {
    return false;
  }
}

function readDocument(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown fault';
    throw new ConfigMistakes(path, [{ path: '', message: `the policy document can not be read (${code})` }]);
  }
}
