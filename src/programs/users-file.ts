import { readFileSync } from 'node:fs';
import { ConfigMistakes } from '../process/config-mistakes.ts';

/** JSON `{"user": ["group", ...]}` → groups by user. Throws ConfigMistakes. */
export function readUsersFile(path: string): ReadonlyMap<string, readonly string[]> {
  const fail = (message: string): never => {
    throw new ConfigMistakes(path, [{ path: '', message }]);
  };
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return fail(`can not be read (${(error as NodeJS.ErrnoException).code ?? 'unknown fault'})`);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return fail('is not JSON: it must be {"user": ["group", ...]}');
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    return fail('must be an object of users: {"user": ["group", ...]}');
  }
  const groupsByUser = new Map<string, readonly string[]>();
  for (const [user, groups] of Object.entries(content)) {
    if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string')) {
      return fail(`${user}: groups must be a list of names`);
    }
    groupsByUser.set(user, groups);
  }
  return groupsByUser;
}
