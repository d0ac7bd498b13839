import type { ConfigSections } from './config-schema.ts';
import type { KeyPath } from './config-text.ts';
import { collides, formatListenAddress, isLoopback, type ListenAddress } from './listen-address.ts';

export type ReportMistake = (path: KeyPath, message: string) => void;

/** What of the file is used at all. */
export interface ConfigNeeds {
  /** Whether requests are counted; default true. Then it must say where. */
  readonly counters?: boolean;
}

type Rule = (config: ConfigSections, report: ReportMistake, needs: ConfigNeeds) => void;

/** Audience of the tokens that this instance issues and takes, unless the file says otherwise. */
export function defaultAudience(instance: string): string {
  return `${instance}-sa`;
}

/** What must hold between keys. A rule says what is wrong at the key that an operator would change. */
export function checkRules(config: ConfigSections, report: ReportMistake, needs: ConfigNeeds = {}): void {
  for (const rule of rules) rule(config, report, needs);
}

const rules: readonly Rule[] = [
  redisIsReachable,
  redisHasNoSecretInIt,
  redisAnswersWithinTheCheck,
  workersCountTogether,
  listenersDiffer,
  socketsHaveAPath,
  httpDoorCarriesTheModel,
  consoleIsPrivate,
  oneModelSource,
  pathsAreOfOneKind,
  onePolicySource,
  audiencesDiffer,
  kubernetesContextHasAFile,
];

function redisIsReachable(
  { limits, redis }: ConfigSections,
  report: ReportMistake,
  { counters = true }: ConfigNeeds,
): void {
  const ways = (['url', 'cluster', 'sentinel'] as const).filter((key) => redis[key] !== undefined);
  for (const way of ways.slice(1)) report(['redis', way], `excludes redis.${ways[0]}: one way to Redis`);
  if (limits.store !== 'redis' || !counters) return;
  if (ways.length === 0) {
    report(['redis', 'url'], 'is needed where limits.store is redis, for example redis://redis:6379');
  }
  if (redis.keySecretFile === undefined) {
    report(
      ['redis', 'keySecretFile'],
      'is needed where limits.store is redis: it keys the names of counters',
    );
  }
}

function redisHasNoSecretInIt({ redis }: ConfigSections, report: ReportMistake): void {
  if (redis.url !== undefined) {
    const url = URL.canParse(redis.url) ? new URL(redis.url) : undefined;
    if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '') {
      report(['redis', 'url'], 'must be redis://host:port, or rediss://host:port for TLS');
    } else if (url.username !== '' || url.password !== '') {
      report(['redis', 'url'], 'must not hold a user or a password: write usernameFile and passwordFile');
    } else if (!/^(\/\d*)?$/.test(url.pathname) || url.search !== '' || url.hash !== '') {
      report(['redis', 'url'], 'may hold a database number after the port, and nothing else');
    }
  }
  if (redis.usernameFile !== undefined && redis.passwordFile === undefined) {
    report(['redis', 'usernameFile'], 'needs redis.passwordFile');
  }
  if (redis.sentinel?.usernameFile !== undefined && redis.sentinel.passwordFile === undefined) {
    report(['redis', 'sentinel', 'usernameFile'], 'needs redis.sentinel.passwordFile');
  }
  if ((redis.tls?.cert === undefined) !== (redis.tls?.key === undefined)) {
    report(['redis', 'tls', redis.tls?.cert === undefined ? 'cert' : 'key'], 'cert and key go together');
  }
}

function redisAnswersWithinTheCheck({ limits, redis, check }: ConfigSections, report: ReportMistake): void {
  if (limits.store === 'redis' && redis.commandTimeoutMs >= check.deadlineMs) {
    report(['redis', 'commandTimeout'], 'must be shorter than check.deadline, or an outage is never told');
  }
}

function workersCountTogether({ workers, limits, listeners }: ConfigSections, report: ReportMistake): void {
  if (workers === 1) return;
  if (limits.store === 'memory') {
    report(['workers'], 'needs limits.store: redis: each worker counts in a memory of its own');
  }
  for (const door of ['grpc', 'http'] as const) {
    const address = listeners[door]?.address;
    if (address?.kind === 'tcp' && address.port === 0) {
      report(['listeners', door, 'address'], 'needs a port where there are workers: each would get another');
    }
  }
}

function listenersDiffer({ listeners, issuer }: ConfigSections, report: ReportMistake): void {
  // By program: an authorizer and an issuer live in different pods and may use the same port.
  const { grpc, http, ops, console } = listeners;
  differ(
    ['listeners'],
    { grpc, ...(http !== undefined && { http }), ops, ...(console.enabled && { console }) },
    report,
  );
  differ(['issuer', 'listeners'], issuer.listeners, report);
}

/** What operators type there is their token of the cluster. */
function consoleIsPrivate({ listeners: { console } }: ConfigSections, report: ReportMistake): void {
  if (!console.enabled || console.tls !== undefined || isLoopback(console.address.host)) return;
  const message = 'must be on loopback, or listeners.console.tls must be set: tokens of the cluster go there';
  report(['listeners', 'console', 'address'], message);
}

function differ(
  path: readonly string[],
  listeners: Readonly<Record<string, { readonly address: ListenAddress }>>,
  report: ReportMistake,
): void {
  const entries = Object.entries(listeners);
  for (const [at, [name, { address }]] of entries.entries()) {
    const taken = entries.slice(0, at).find(([, other]) => collides(address, other.address));
    if (taken === undefined) continue;
    const where = [...path, name, 'address'];
    report(where, `${formatListenAddress(address)} is taken by ${[...path, taken[0]].join('.')}`);
  }
}

function socketsHaveAPath({ listeners }: ConfigSections, report: ReportMistake): void {
  for (const door of ['grpc', 'http'] as const) {
    const listener = listeners[door];
    if (listener?.socket === undefined || listener.address.kind === 'unix') continue;
    report(['listeners', door, 'socket'], `would be ignored: listeners.${door}.address is no unix:PATH`);
  }
}

/** What Envoy says of a route or from its filters, and no other way to ask does. */
function httpDoorCarriesTheModel({ listeners, model }: ConfigSections, report: ReportMistake): void {
  if (listeners.http === undefined || (model.from !== 'context' && model.from !== 'metadata')) return;
  const only = 'is told to the gRPC door only: write path or header, or leave out listeners.http';
  report(['model', 'from'], `${model.from} ${only}`);
}

function oneModelSource({ model, credential }: ConfigSections, report: ReportMistake): void {
  if (model.from === 'header' && model.header === undefined) {
    report(['model', 'header'], 'is needed where model.from is header');
  }
  if (model.from !== 'header' && model.header !== undefined) {
    report(['model', 'header'], `would be ignored: model.from is ${model.from}`);
  }
  if (model.from !== 'path' && model.template !== undefined) {
    report(['model', 'template'], `would be ignored: model.from is ${model.from}`);
  }
  for (const [path, name] of [
    [['model', 'header'], model.header],
    ...credential.headers.map((header, at) => [['credential', 'headers', at], header] as const),
  ] as const) {
    if (name?.startsWith('x-tiergate-') || name?.startsWith('x-maas-')) {
      report(path, `${name} is a header that tiergate writes: a client's copy of it is never read`);
    }
  }
  if (model.header !== undefined && credential.headers.includes(model.header)) {
    report(['model', 'header'], `${model.header} carries the credential`);
  }
}

function pathsAreOfOneKind({ model }: ConfigSections, report: ReportMistake): void {
  for (const [at, path] of model.identityOnly.entries()) {
    const open = model.public.find((prefix) => path === prefix || path.startsWith(`${prefix}/`));
    if (open !== undefined) {
      report(['model', 'identityOnly', at], `${path} is public already, by ${open} in model.public`);
    }
  }
}

function onePolicySource({ policy }: ConfigSections, report: ReportMistake): void {
  if (policy.file !== undefined && policy.configMap !== undefined) {
    report(['policy', 'configMap'], 'excludes policy.file: the policy document has one place');
  }
}

function audiencesDiffer({ instance, identity, issuer }: ConfigSections, report: ReportMistake): void {
  if ((identity.audience ?? defaultAudience(instance)) === issuer.clusterAudience) {
    report(
      identity.audience === undefined ? ['issuer', 'clusterAudience'] : ['identity', 'audience'],
      'identity.audience and issuer.clusterAudience must differ: else every token of the cluster is an access token',
    );
  }
}

function kubernetesContextHasAFile({ kubernetes }: ConfigSections, report: ReportMistake): void {
  if (kubernetes.context !== undefined && kubernetes.kubeconfig === undefined) {
    report(['kubernetes', 'context'], 'needs kubernetes.kubeconfig');
  }
}
