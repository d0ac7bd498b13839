import { type DesiredClient, groupFilterAttribute } from './client.ts';
import { type Cluster, holdOf, idPrefixOf } from './cluster.ts';
import { type Finding, finding } from './finding.ts';

export interface DesiredOptions {
  /** For clusters that don't name theirs. Last part of the redirect URI. */
  readonly defaultAuthName: string;
  /** For clusters that don't name theirs. URL of the realm. */
  readonly defaultIssuer: string;
  /** Default client scopes of every client. */
  readonly scopes: readonly string[];
  /** Added for a cluster with a group filter: the realm's scope that reads the attribute. */
  readonly groupFilterScope: string;
}

export interface Desired {
  /** By id. Only clusters that can be served now. */
  readonly clientById: ReadonlyMap<string, DesiredClient>;
  /** Everything discovered, served or not: evidence about removals is read from it. */
  readonly clusters: readonly Cluster[];
  /** Ids whose definition is wrong or ambiguous: neither made nor changed nor removed. */
  readonly unclearIds: ReadonlySet<string>;
  readonly findings: readonly Finding[];
}

/** Keycloak answers 500 for more (verified with 26.7.3). */
const maxClientIdLength = 255;
const consolePrefix = 'console-openshift-console.';
const rosaConsolePrefix = 'console-openshift-console.apps.rosa.';

export function desireClients(clusters: readonly Cluster[], options: DesiredOptions): Desired {
  const clientById = new Map<string, DesiredClient>();
  const unclearIds = new Set<string>();
  const findings: Finding[] = [];
  for (const cluster of clusters) {
    if (cluster.status === 'disabled' || holdOf(cluster) !== undefined) continue;
    const client = desireClient(cluster, options);
    const mistake = clientById.has(client.id) ? 'two clusters would share it' : mistakeIn(client);
    if (mistake === undefined) {
      clientById.set(client.id, client);
    } else {
      unclearIds.add(client.id);
      findings.push(finding('cluster_invalid', client.id, mistake));
    }
  }
  for (const id of unclearIds) clientById.delete(id);
  return { clientById, clusters, unclearIds, findings };
}

function desireClient(cluster: Cluster, options: DesiredOptions): DesiredClient {
  const authName = authNameOf(cluster, options);
  const issuer = (cluster.issuer ?? options.defaultIssuer).replace(/\/+$/, '');
  const filter = cluster.groupFilterRegex;
  return {
    id: `${idPrefixOf(cluster)}${authName}-${hostOf(issuer) ?? ''}`,
    issuer,
    redirectUris: [callbackUrl(cluster.consoleUrl ?? '', authName)],
    scopes: filter === undefined ? options.scopes : [...options.scopes, options.groupFilterScope],
    attributes: filter === undefined ? {} : { [groupFilterAttribute]: filter },
  };
}

/** Blanks become dashes: the name is part of a URL and of a key, and ids of old were made that way. */
function authNameOf(cluster: Cluster, options: DesiredOptions): string {
  return (cluster.authName ?? options.defaultAuthName).trim().replaceAll(/\s+/g, '-');
}

/**
 * Where OpenShift's OAuth server takes the browser back to. On ROSA with hosted control planes that server
 * is `oauth.<cluster domain>` with its port spelled out, elsewhere a route beside the console's.
 * An empty string if the console's URL can't be read.
 */
export function callbackUrl(consoleUrl: string, authName: string): string {
  const console = parseUrl(consoleUrl);
  if (console === undefined) return '';
  const path = `/oauth2callback/${encodeURIComponent(authName)}`;
  if (console.hostname.startsWith(rosaConsolePrefix)) {
    const domain = console.hostname.slice(rosaConsolePrefix.length);
    return `${console.protocol}//oauth.${domain}:${console.port === '' ? '443' : console.port}${path}`;
  }
  const host = console.host.startsWith(consolePrefix)
    ? `oauth-openshift.${console.host.slice(consolePrefix.length)}`
    : console.host;
  return `${console.protocol}//${host}${path}`;
}

/** The server accepts `*` and the like (verified with Keycloak 26.7.3), so the line is drawn here. */
function mistakeIn(client: DesiredClient): string | undefined {
  if (client.id.length > maxClientIdLength) return `its id is longer than ${maxClientIdLength} characters`;
  if (hostOf(client.issuer) === undefined) return 'its issuer is not an http(s) URL';
  if (client.id.includes('/')) return 'its id would hold a slash';
  const uri = client.redirectUris[0] ?? '';
  const parsed = parseUrl(uri);
  if (parsed === undefined || parsed.protocol !== 'https:') return 'its console URL is not an https URL';
  if (uri.includes('*') || parsed.hash !== '') return 'its redirect URI has a wildcard or a fragment';
  return undefined;
}

function hostOf(url: string): string | undefined {
  const parsed = parseUrl(url);
  return parsed !== undefined && /^https?:$/.test(parsed.protocol) ? parsed.hostname : undefined;
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
