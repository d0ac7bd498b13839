import type { IncomingHttpHeaders } from 'node:http';
import type { Authenticate, UserInfo } from './authentication.ts';
import { type Access, type Decision, isResourceAccess, type Requester, type ResourceAccess } from './rbac.ts';
import { badRequest, forbidden, StatusError, unauthorized } from './status.ts';

/**
 * Who makes a request, by its bearer token; the token must be good for one of the server's own audiences.
 * Throws a StatusError: 401 for anybody else, as with `--anonymous-auth=false`.
 */
export async function identifyCaller(
  headers: IncomingHttpHeaders,
  authenticate: Authenticate,
  apiAudiences: readonly string[],
): Promise<UserInfo> {
  const [, token] = /^bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  if (token === undefined) throw unauthorized();
  // Not known here; ignored, it would let somebody do as themselves what they meant to do as another.
  if (headers['impersonate-user'] !== undefined) throw badRequest('the sandbox does not know impersonation');
  const answer = await authenticate(token, apiAudiences);
  if (!answer.authenticated) throw unauthorized();
  return answer.user;
}

/** Throws a StatusError (403) unless the caller may do that. */
export function requireAccess(
  user: UserInfo,
  access: Access,
  authorize: (requester: Requester, access: Access) => Decision,
): void {
  if (authorize(user, access).allowed) return;
  const who = `User "${user.username}" cannot ${access.verb}`;
  if (!isResourceAccess(access))
    throw new StatusError(403, 'Forbidden', `forbidden: ${who} path "${access.path}"`, {});
  throw forbidden(
    { group: access.group, plural: access.resource },
    access.name,
    `${who} ${described(access)}`,
  );
}

function described({ group, resource, subresource, namespace }: ResourceAccess): string {
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return `resource "${what}" in API group "${group}" ${where}`;
}
