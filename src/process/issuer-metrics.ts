import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Metrics of the token API. Labels have few values: patterns of routes, never paths; never a user. */
export interface IssuerMetrics {
  readonly observeRequest: (end: {
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly durationMs: number;
  }) => void;
  /** `outcome`: `done` or the reason of the refusal. */
  readonly observeAction: (action: string, outcome: string) => void;
  readonly observeSwept: (swept: {
    readonly records: number;
    readonly ownerless: number;
    readonly accounts: number;
  }) => void;
  readonly setLeader: (isLeader: boolean) => void;
}

/** From a refusal to a mint that made a namespace. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Methods that HTTP has; a client can make up others. */
const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export function createIssuerMetrics(registry: Registry): IssuerMetrics {
  const registers = [registry];
  const requests = new Counter({
    name: 'tiergate_issuer_requests_total',
    help: 'Requests to the token API, by route and status.',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const durations = new Histogram({
    name: 'tiergate_issuer_request_duration_seconds',
    help: 'Time from the head of a request to the token API to the end of its answer.',
    labelNames: ['method', 'route'],
    buckets,
    registers,
  });
  const actions = new Counter({
    name: 'tiergate_issuer_actions_total',
    help: 'Mints, lists and revocations, by what came of them: done, or the reason of the refusal.',
    labelNames: ['action', 'outcome'],
    registers,
  });
  const swept = new Counter({
    name: 'tiergate_issuer_swept_total',
    help: 'What the sweep has removed: records of ended or half-made tokens, ownerless ones, accounts of a tier left.',
    labelNames: ['kind'],
    registers,
  });
  const leader = new Gauge({
    name: 'tiergate_issuer_leader',
    help: 'Whether this replica sweeps (1).',
    registers,
  });
  leader.set(0);
  for (const kind of ['record', 'ownerless', 'account']) swept.inc({ kind }, 0);
  return {
    observeRequest({ method: sent, route, status, durationMs }) {
      const method = methods.has(sent) ? sent : 'other';
      requests.inc({ method, route, status: String(status) });
      durations.observe({ method, route }, durationMs / 1000);
    },
    observeAction: (action, outcome) => actions.inc({ action, outcome }),
    observeSwept({ records, ownerless, accounts }) {
      swept.inc({ kind: 'record' }, records);
      swept.inc({ kind: 'ownerless' }, ownerless);
      swept.inc({ kind: 'account' }, accounts);
    },
    setLeader: (isLeader) => leader.set(isLeader ? 1 : 0),
  };
}
