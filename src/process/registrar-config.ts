import { z } from 'zod';
import {
  duration,
  filePath,
  label,
  listOf,
  objectName,
  oneOf,
  tcpAddress,
  text,
  wholeNumber,
} from './config-fields.ts';

/** Section `registrar` of the process file: what keeps SSO profiles and their Initial Access Token. */

const secondMs = 1000;
const minuteMs = 60 * secondMs;
const dayMs = 86_400_000;
const yearMs = 366 * dayMs;

const url = text('an http(s) URL without a slash at its end', /^https?:\/\/[^\s@?#]+[^\s@?#/]$/);
const vaultPath = text(
  'mount and path, such as app-sre/creds/sso (no leading slash)',
  /^[^/\s][^\s]*[^/\s]$/,
);

const clusters = z
  .strictObject({
    file: filePath.optional(),
    configMap: z
      .strictObject({
        namespace: label.optional(),
        name: objectName,
        key: text('a key of the ConfigMap').default('clusters.yaml'),
      })
      .optional(),
    ocm: z
      .strictObject({
        url: url.default('https://api.openshift.com'),
        tokenUrl: url,
        clientIdFile: filePath,
        clientSecretFile: filePath,
        labelPrefix: text('the beginning of a label').default('sre-capabilities.rhidp'),
        organizations: listOf(text('the id of an organization')).optional(),
        timeout: duration(secondMs, 5 * minuteMs, 'from 1s to 5m').prefault('30s'),
      })
      .transform(({ timeout, ...rest }) => ({ ...rest, timeoutMs: timeout }))
      .optional(),
  })
  .superRefine(exactlyOne('file', 'configMap', 'ocm'));

const store = z
  .strictObject({
    vault: z.strictObject({ path: vaultPath, statePath: vaultPath.optional() }).optional(),
    kubernetes: z.strictObject({ namespace: label.optional() }).optional(),
  })
  .superRefine(exactlyOne('vault', 'kubernetes'));

const vault = z
  .strictObject({
    url,
    namespace: text('a namespace of Vault').optional(),
    appRole: z
      .strictObject({
        mount: text('where the auth method is mounted').default('approle'),
        roleIdFile: filePath,
        secretIdFile: filePath,
      })
      .optional(),
    tokenFile: filePath.optional(),
    timeout: duration(100, minuteMs, 'from 100ms to 1m').prefault('10s'),
  })
  .superRefine(exactlyOne('appRole', 'tokenFile'))
  .transform(({ timeout, ...rest }) => ({ ...rest, timeoutMs: timeout }));

/** How long tokens live where the file does not say. */
const lifeMsOf = { prod: 30 * dayMs, stage: 90 * dayMs } as const;

const renewal = z
  .strictObject({
    before: duration(secondMs, yearMs, 'from 1s to 366d').prefault('7d'),
    minRemaining: wholeNumber(0, 10_000).default(10),
  })
  .transform(({ before, ...rest }) => ({ ...rest, beforeMs: before }));

const instance = z
  .strictObject({
    name: text('a name for people, as a rule the host', /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/),
    environment: oneOf('prod', 'stage'),
    issuer: url,
    endpoint: oneOf('default', 'openid-connect').default('default'),
    token: z
      .strictObject({
        vault: vaultPath.optional(),
        secret: z.strictObject({ namespace: label.optional(), name: objectName }).optional(),
        field: text('the name of a field').default('token'),
      })
      .superRefine(exactlyOne('vault', 'secret')),
    life: duration(secondMs, yearMs, 'from 1s to 366d').optional(),
    clients: wholeNumber(1, 100_000).default(100),
    admin: z.strictObject({ clientId: text('a client id'), clientSecretFile: filePath }).optional(),
    renew: renewal.optional(),
    timeout: duration(100, 5 * minuteMs, 'from 100ms to 5m').prefault('30s'),
  })
  .superRefine(({ admin, renew, life, environment }, context) => {
    if (renew === undefined) return;
    if (admin === undefined)
      context.addIssue({
        code: 'custom',
        path: ['renew'],
        message: 'needs admin: nobody else may make tokens',
      });
    if (renew.beforeMs >= (life ?? lifeMsOf[environment]))
      context.addIssue({
        code: 'custom',
        path: ['renew', 'before'],
        message: "must be less than the token's life, or each would be renewed the moment it is made",
      });
  })
  .transform(({ life, timeout, ...rest }) => ({
    ...rest,
    lifeMs: life ?? lifeMsOf[rest.environment],
    timeoutMs: timeout,
  }));

const removal = z
  .strictObject({
    absentAfter: duration(0, yearMs, 'from 0s (at once) to 366d').prefault('7d'),
    replacedAfter: duration(0, yearMs, 'from 0s (in the same run) to 366d').prefault('1h'),
    capClients: wholeNumber(0, 100_000).default(5),
    capPercent: wholeNumber(0, 100).default(10),
  })
  .transform(({ absentAfter, replacedAfter, ...rest }) => ({
    ...rest,
    absentAfterMs: absentAfter,
    replacedAfterMs: replacedAfter,
  }))
  .prefault({});

const usesVault = ({
  store: { vault: records },
  instances,
}: {
  store: { vault?: unknown };
  instances: readonly { token: { vault?: unknown } }[];
}) => records !== undefined || instances.some(({ token }) => token.vault !== undefined);

export const registrarSchema = z
  .strictObject({
    listeners: z
      .strictObject({ ops: z.strictObject({ address: tcpAddress.prefault('0.0.0.0:8082') }).prefault({}) })
      .prefault({}),
    interval: duration(secondMs, dayMs, 'from 1s to 1d').prefault('5m'),
    environment: text('the value of the label ocm_environment').default('production'),
    integration: text('the value of the label integration').default('rhidp-sso-client'),
    escalation: text('whom to turn to, in words'),
    requester: text('who asks for tokens and takes them, in words'),
    clusters,
    defaultAuthName: text('an auth name').default('redhat-sso'),
    defaultIssuer: url.default('https://auth.redhat.com/auth/realms/EmployeeIDP'),
    scopes: listOf(text('a client scope', /^\S+$/), 1).prefault([
      'web-origins',
      'acr',
      'profile',
      'roles',
      'email',
    ]),
    groupFilterScope: text('a client scope', /^\S+$/).default('regex-filtered-groups'),
    store,
    vault: vault.optional(),
    instances: listOf(instance, 1),
    removal,
  })
  .superRefine((section, context) => {
    if (usesVault(section) && section.vault === undefined)
      context.addIssue({ code: 'custom', path: ['vault'], message: 'is needed: something is kept in Vault' });
    for (const key of ['name', 'issuer'] as const) {
      const seen = new Set<string>();
      for (const [at, one] of section.instances.entries()) {
        if (seen.has(one[key]))
          context.addIssue({
            code: 'custom',
            path: ['instances', at, key],
            message: 'is that of another instance too',
          });
        seen.add(one[key]);
      }
    }
  })
  .transform(({ interval, ...rest }) => ({ ...rest, intervalMs: interval }));

type ReadOnly<T> = T extends readonly (infer Entry)[]
  ? readonly ReadOnly<Entry>[]
  : T extends object
    ? { readonly [Key in keyof T]: ReadOnly<T[Key]> }
    : T;

export type RegistrarConfig = ReadOnly<z.output<typeof registrarSchema>>;
export type InstanceConfig = RegistrarConfig['instances'][number];

/** The section with every path of a file made absolute. */
export function resolveRegistrarPaths(
  section: RegistrarConfig,
  absolute: (path: string) => string,
): RegistrarConfig {
  const { file, ocm } = section.clusters;
  const { vault: server } = section;
  return {
    ...section,
    clusters: {
      ...section.clusters,
      ...(file !== undefined && { file: absolute(file) }),
      ...(ocm && {
        ocm: {
          ...ocm,
          clientIdFile: absolute(ocm.clientIdFile),
          clientSecretFile: absolute(ocm.clientSecretFile),
        },
      }),
    },
    ...(server && {
      vault: {
        ...server,
        ...(server.tokenFile !== undefined && { tokenFile: absolute(server.tokenFile) }),
        ...(server.appRole && {
          appRole: {
            ...server.appRole,
            roleIdFile: absolute(server.appRole.roleIdFile),
            secretIdFile: absolute(server.appRole.secretIdFile),
          },
        }),
      },
    }),
    instances: section.instances.map((one) =>
      one.admin === undefined
        ? one
        : { ...one, admin: { ...one.admin, clientSecretFile: absolute(one.admin.clientSecretFile) } },
    ),
  };
}

/** One of several ways, said once: none and two are both mistakes. */
function exactlyOne<Key extends string>(...keys: readonly Key[]) {
  return (section: { readonly [K in Key]?: unknown }, context: z.core.$RefinementCtx): void => {
    const given = keys.filter((key) => section[key] !== undefined);
    if (given.length === 1) return;
    const said = given.length === 0 ? 'none is there' : `${given.join(' and ')} are`;
    context.addIssue({ code: 'custom', message: `must hold exactly one of ${keys.join(', ')}; ${said}` });
  };
}
