import type { Manifest } from '../real/apply-manifests.ts';

/**
 * CustomResourceDefinitions of others, as far as our manifests use them: Istio, Gateway API, Envoy Gateway, the Prometheus
 * operator. Written by hand from their documented APIs: what is required there is required here, words of an enum
 * are those words, and a field that is not listed is unknown, so that strict server-side apply finds a mistake of a name.
 */

interface Schema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
}

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const port: Schema = { type: 'integer', minimum: 1, maximum: 65535 };
const anything: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const texts: Schema = { type: 'object', additionalProperties: text };
const word = (...words: readonly string[]): Schema => ({ type: 'string', enum: words });
const matching = (pattern: string): Schema => ({ type: 'string', pattern });
const whole = (minimum: number, maximum: number): Schema => ({ type: 'integer', minimum, maximum });
const list = (items: Schema, minItems = 0): Schema => ({ type: 'array', items, minItems });
const object = (properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  ...(required.length > 0 && { required }),
});

/** Gateway API's own Duration, GEP-2257. */
const gatewayDuration = matching('^([0-9]{1,5}(h|m|s|ms)){1,4}$');
const prometheusDuration = matching(
  '^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$',
);

const backendRef = object(
  { group: text, kind: text, name: text, namespace: text, port, weight: whole(0, 1_000_000) },
  ['name'],
);
const policyTarget = object({ group: text, kind: text, name: text, sectionName: text }, [
  'group',
  'kind',
  'name',
]);

const httpRoute = object({
  parentRefs: list(
    object({ group: text, kind: text, name: text, namespace: text, sectionName: text, port }, ['name']),
  ),
  hostnames: list(text),
  rules: list(
    object({
      matches: list(
        object({
          path: object({ type: word('Exact', 'PathPrefix', 'RegularExpression'), value: text }),
          method: text,
        }),
      ),
      timeouts: object({ request: gatewayDuration, backendRequest: gatewayDuration }),
      backendRefs: list(backendRef),
    }),
  ),
});

const referenceGrant = object(
  {
    from: list(object({ group: text, kind: text, namespace: text }, ['group', 'kind', 'namespace']), 1),
    to: list(object({ group: text, kind: text, name: text }, ['group', 'kind']), 1),
  },
  ['from', 'to'],
);

const envoyFilter = object({
  workloadSelector: object({ labels: texts }),
  priority: { type: 'integer' },
  configPatches: list(
    object({
      applyTo: word(
        'LISTENER',
        'FILTER_CHAIN',
        'NETWORK_FILTER',
        'HTTP_FILTER',
        'ROUTE_CONFIGURATION',
        'VIRTUAL_HOST',
        'HTTP_ROUTE',
        'CLUSTER',
        'EXTENSION_CONFIG',
        'BOOTSTRAP',
        'LISTENER_FILTER',
      ),
      match: object({
        context: word('ANY', 'SIDECAR_INBOUND', 'SIDECAR_OUTBOUND', 'GATEWAY'),
        listener: object({
          portNumber: port,
          name: text,
          filterChain: object({
            name: text,
            filter: object({ name: text, subFilter: object({ name: text }) }),
          }),
        }),
        cluster: object({ portNumber: port, service: text, subset: text, name: text }),
      }),
      patch: object({
        operation: word('MERGE', 'ADD', 'REMOVE', 'INSERT_BEFORE', 'INSERT_AFTER', 'INSERT_FIRST', 'REPLACE'),
        value: anything,
        filterClass: word('AUTHN', 'AUTHZ', 'STATS'),
      }),
    }),
  ),
});

const clusterSettings = object({
  timeout: object({ tcp: object({ connectTimeout: gatewayDuration }) }),
  retry: object({
    numRetries: whole(0, 100),
    retryOn: object({
      triggers: list(
        word(
          '5xx',
          'gateway-error',
          'reset',
          'reset-before-request',
          'connect-failure',
          'retriable-4xx',
          'refused-stream',
          'retriable-status-codes',
          'cancelled',
          'deadline-exceeded',
          'internal',
          'resource-exhausted',
          'unavailable',
        ),
      ),
    }),
  }),
  healthCheck: object({
    active: object(
      {
        type: word('HTTP', 'TCP', 'GRPC'),
        timeout: gatewayDuration,
        interval: gatewayDuration,
        unhealthyThreshold: whole(1, 1000),
        healthyThreshold: whole(1, 1000),
        grpc: object({ service: text }),
      },
      ['type'],
    ),
  }),
});

const securityPolicy = object({
  targetRefs: list(policyTarget),
  extAuth: object({
    failOpen: flag,
    statusOnError: whole(400, 599),
    timeout: gatewayDuration,
    headersToExtAuth: list(text),
    grpc: object({ backendRefs: list(backendRef, 1), backendSettings: clusterSettings }),
  }),
});

const clientTrafficPolicy = object({
  targetRefs: list(policyTarget),
  path: object({
    disableMergeSlashes: flag,
    escapedSlashesAction: word('KeepUnchanged', 'RejectRequest', 'UnescapeAndForward', 'UnescapeAndRedirect'),
  }),
  headers: object({ earlyRequestHeaders: object({ remove: list(text) }) }),
});

const envoyProxy = object({
  telemetry: object({
    accessLog: object({
      settings: list(
        object(
          {
            sinks: list(
              object(
                {
                  type: word('ALS', 'File', 'OpenTelemetry'),
                  als: object(
                    { type: word('HTTP', 'TCP'), logName: text, backendRefs: list(backendRef, 1) },
                    ['type'],
                  ),
                  file: object({ path: text }),
                },
                ['type'],
              ),
              1,
            ),
          },
          ['sinks'],
        ),
      ),
    }),
  }),
});

const envoyPatchPolicy = object(
  {
    targetRef: policyTarget,
    type: word('JSONPatch'),
    priority: { type: 'integer' },
    jsonPatches: list(
      object(
        {
          type: word(
            'type.googleapis.com/envoy.config.listener.v3.Listener',
            'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
            'type.googleapis.com/envoy.config.cluster.v3.Cluster',
            'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
          ),
          name: text,
          operation: object(
            {
              op: word('add', 'remove', 'replace', 'move', 'copy', 'test'),
              path: text,
              jsonPath: text,
              from: text,
              value: { 'x-kubernetes-preserve-unknown-fields': true },
            },
            ['op'],
          ),
        },
        ['type', 'name', 'operation'],
      ),
    ),
  },
  ['targetRef', 'type'],
);

const serviceMonitor = object(
  {
    jobLabel: text,
    selector: object({ matchLabels: texts }),
    namespaceSelector: object({ matchNames: list(text), any: flag }),
    endpoints: list(
      object({
        port: text,
        path: text,
        scheme: word('http', 'https'),
        interval: prometheusDuration,
        scrapeTimeout: prometheusDuration,
      }),
    ),
  },
  ['endpoints', 'selector'],
);

const prometheusRule = object({
  groups: list(
    object(
      {
        name: { ...text, pattern: '^.+$' },
        interval: prometheusDuration,
        rules: list(
          object(
            {
              alert: text,
              record: text,
              expr: { 'x-kubernetes-int-or-string': true },
              for: prometheusDuration,
              keep_firing_for: prometheusDuration,
              labels: texts,
              annotations: texts,
            },
            ['expr'],
          ),
        ),
      },
      ['name'],
    ),
  ),
});

interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly spec: Schema;
}

const kinds: readonly Kind[] = [
  {
    group: 'gateway.networking.k8s.io',
    version: 'v1',
    kind: 'HTTPRoute',
    plural: 'httproutes',
    spec: httpRoute,
  },
  {
    group: 'gateway.networking.k8s.io',
    version: 'v1beta1',
    kind: 'ReferenceGrant',
    plural: 'referencegrants',
    spec: referenceGrant,
  },
  {
    group: 'networking.istio.io',
    version: 'v1alpha3',
    kind: 'EnvoyFilter',
    plural: 'envoyfilters',
    spec: envoyFilter,
  },
  ...(
    [
      ['SecurityPolicy', 'securitypolicies', securityPolicy],
      ['ClientTrafficPolicy', 'clienttrafficpolicies', clientTrafficPolicy],
      ['EnvoyProxy', 'envoyproxies', envoyProxy],
      ['EnvoyPatchPolicy', 'envoypatchpolicies', envoyPatchPolicy],
    ] as const
  ).map(([kind, plural, spec]) => ({
    group: 'gateway.envoyproxy.io',
    version: 'v1alpha1',
    kind,
    plural,
    spec,
  })),
  {
    group: 'monitoring.coreos.com',
    version: 'v1',
    kind: 'ServiceMonitor',
    plural: 'servicemonitors',
    spec: serviceMonitor,
  },
  {
    group: 'monitoring.coreos.com',
    version: 'v1',
    kind: 'PrometheusRule',
    plural: 'prometheusrules',
    spec: prometheusRule,
  },
];

export const foreignDefinitions: readonly Manifest[] = kinds.map(
  ({ group, version, kind, plural, spec }) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name: `${plural}.${group}`,
      // The API server asks for it under k8s.io: these are nobody's approved copies.
      annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' },
    },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { spec }, required: ['spec'] } },
        },
      ],
    },
  }),
);

/** Paths under which the API server serves them, once it does. */
export const foreignCollections: readonly string[] = kinds.map(
  ({ group, version, plural }) => `/apis/${group}/${version}/${plural}`,
);
