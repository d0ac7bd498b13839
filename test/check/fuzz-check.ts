import { denialStatus } from '../../src/check/denial.ts';
import type { EnvoyMessages } from '../envoy/messages.ts';
import { judge, type Judgement } from './fuzz-oracle.ts';
import { below, createRandom, oneOf } from '../support/random.ts';
import { generateRequest, mutateMessage } from './fuzz-requests.ts';
import { type Answered, createDoor, type Door, type FuzzCluster } from './fuzz-world.ts';

/** How often which outcome was given: `allowed model`, `denied path_invalid`. */
export type Tally = Readonly<Record<string, number>>;

/**
 * Asks the whole Check, from bytes to bytes, about generated requests, half of them mutated. Throws, naming seed
 * and request, at the first answer that is no CheckResponse by Envoy's schema, that lets through what the oracle
 * does not, or that refuses what is surely good.
 */
export async function fuzzCheck(
  { messages, cluster }: { readonly messages: EnvoyMessages; readonly cluster: FuzzCluster },
  count: number,
  seed: number,
): Promise<Tally> {
  const random = createRandom(seed);
  const doors = createDoors(cluster);
  const ledger = createLedger();
  const tally: Record<string, number> = {};
  for (let at = 0; at < count; at += 1) {
    const door = oneOf(random, doors);
    let request = generateRequest(random, door, cluster.people);
    const isMutated = random() < 0.5;
    if (isMutated)
      for (let times = 1 + below(random, 3); times > 0; times -= 1) request = mutateMessage(random, request);
    // Now and then one whose caller has no time left.
    const deadlineAtMs = random() < 0.01 ? Date.now() - 1 : Number.POSITIVE_INFINITY;
    try {
      // As it is: no generator that makes no CheckRequest.
      if (!isMutated && at % 100 === 0) messages.decodeRequest(request);
      const judgement = judge(door, cluster.people, request);
      const answer = door.ask(request, deadlineAtMs);
      // Awaited only where it has to be: that is what most of the time goes into.
      const answered = answer instanceof Promise ? await answer : answer;
      const outcome = inspect(messages, door, judgement, answered);
      ledger.book(door, judgement, answered, outcome);
      if (!isMutated && deadlineAtMs === Number.POSITIVE_INFINITY) mustPass(judgement, outcome);
      tally[outcome] = (tally[outcome] ?? 0) + 1;
    } catch (error) {
      throw new Error(
        `seed ${seed}, request ${at}, door ${doors.indexOf(door)}: ${request.toString('hex')}`,
        {
          cause: error,
        },
      );
    }
  }
  return tally;
}

function createDoors(cluster: FuzzCluster): readonly Door[] {
  const usual = {
    from: 'path',
    credentialHeaders: ['authorization'],
    public: ['/maas-api', '/v1/models'],
    identityOnly: [],
    cors: false,
  } as const;
  return [
    usual,
    { ...usual, credentialHeaders: ['authorization', 'x-api-key'], identityOnly: ['/me'], cors: true },
    { ...usual, from: 'context' } as const,
    { ...usual, from: 'metadata' } as const,
    { ...usual, from: 'header', header: 'x-gateway-model' } as const,
  ].map((options) => createDoor(cluster, options));
}

function fail(words: string): never {
  throw new Error(words);
}

type Plain = Readonly<Record<string, unknown>>;

interface HeaderOption {
  readonly header: { readonly key: string; readonly value?: string };
  readonly append_action?: string;
}

interface Response {
  readonly status?: { readonly code?: number };
  readonly ok_response?: {
    readonly headers?: readonly HeaderOption[];
    readonly headers_to_remove?: readonly string[];
    readonly response_headers_to_add?: readonly HeaderOption[];
  };
  readonly denied_response?: {
    readonly status?: { readonly code?: string };
    readonly headers?: readonly HeaderOption[];
    readonly body?: string;
  };
  readonly error_response?: unknown;
  readonly dynamic_metadata?: Plain;
}

/** The answer by Envoy's schema, and against the oracle; returns its name for the tally. */
function inspect(messages: EnvoyMessages, door: Door, judgement: Judgement, answered: Answered): string {
  const response = messages.decodeResponse(answered.response) as Response;
  const { status, ok_response: ok, denied_response: denied, error_response: error } = response;
  if (error !== undefined) fail('an error_response');
  if ((ok === undefined) === (denied === undefined)) fail('neither allowed nor denied');
  for (const { header, append_action } of [
    ...(ok?.headers ?? []),
    ...(ok?.response_headers_to_add ?? []),
    ...(denied?.headers ?? []),
  ]) {
    if (!/^[a-z0-9-]+$/.test(header.key) || !/^[\t -~]*$/.test(header.value ?? ''))
      fail(`header ${header.key}`);
    if (append_action !== 'OVERWRITE_IF_EXISTS_OR_ADD') fail(`${header.key} does not overwrite`);
  }
  if (ok === undefined) return inspectDenied(response, answered);
  if ((status?.code ?? 0) !== 0 || answered.outcome.denied) fail('allowed with a status that is none');
  return inspectAllowed(ok, door, judgement);
}

function inspectAllowed(ok: NonNullable<Response['ok_response']>, door: Door, judgement: Judgement): string {
  const { verdict, facts } = judgement;
  if (verdict === undefined) fail('passed, and must not');
  const set = new Map((ok.headers ?? []).map(({ header }) => [header.key, header.value ?? ''] as const));
  const removed = new Set(ok.headers_to_remove);
  const { kind, person, model } = verdict;
  const expected = {
    'x-tiergate-user': kind === 'public' ? undefined : person?.subject,
    'x-tiergate-tier': kind === 'public' ? undefined : person?.tier,
    'x-tiergate-model': kind === 'model' ? model : undefined,
  };
  for (const [name, value] of Object.entries(expected)) {
    if (set.get(name) !== value) fail(`${name} is ${set.get(name)}, not ${value}`);
    if (value === undefined && !removed.has(name)) fail(`${name} of a client gets through`);
  }
  if (door.from === 'path' && kind === 'model' && set.get('x-tiergate-model') !== facts.pathModel) {
    fail(`checked as ${set.get('x-tiergate-model')}, served as ${facts.pathModel}`);
  }
  for (const name of facts.headerNames) {
    const isOurs = /^x[-_](tiergate|maas)[-_]/.test(name);
    if (isOurs && !set.has(name) && !removed.has(name)) fail(`${name} of a client gets through`);
    if (kind !== 'public' && door.credentialHeaders.includes(name) && !removed.has(name)) {
      fail(`${name} reaches the model`);
    }
  }
  return `allowed ${kind}`;
}

function inspectDenied(
  { status, denied_response: denied }: Response,
  { outcome, response }: Answered,
): string {
  const headers = new Map(
    (denied?.headers ?? []).map(({ header }) => [header.key, header.value ?? ''] as const),
  );
  const reason = headers.get('x-tiergate-reason') ?? '';
  if (!Object.hasOwn(denialStatus, reason)) fail(`reason ${reason}`);
  if (!outcome.denied || outcome.reason !== reason) fail(`recorded otherwise than answered: ${reason}`);
  if (reason === 'internal') fail('a bug');
  const { http, grpc, type, code, retry } = denialStatus[outcome.reason];
  // Envoy's enum has a name for every status; protobufjs shows it.
  if (denied?.status?.code !== httpNames[http] || status?.code !== grpc) fail(`statuses of ${reason}`);
  const body: unknown = JSON.parse(denied?.body ?? '');
  const { error } = body as { readonly error: Plain };
  if (Object.keys(error).join() !== 'message,type,param,code,reason') fail('not the shape of an error');
  if (error['type'] !== type || error['code'] !== code || error['reason'] !== reason)
    fail(`body of ${reason}`);
  if (retry !== /^[1-9]\d*$/.test(headers.get('retry-after') ?? '')) fail(`Retry-After of ${reason}`);
  if ((http === 401) !== headers.has('www-authenticate')) fail(`WWW-Authenticate of ${reason}`);
  // Every token begins alike, and no answer has a reason to hold a JSON Web Token.
  if (response.includes('eyJ')) fail('a token in the answer');
  return `denied ${reason}`;
}

const httpNames: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  413: 'PayloadTooLarge',
  429: 'TooManyRequests',
  500: 'InternalServerError',
  503: 'ServiceUnavailable',
};

/** What is good beyond doubt: Envoy's own encoding, a model that its person may use, no limit in the way. */
function mustPass({ verdict }: Judgement, outcome: string): void {
  if (verdict === undefined || verdict.person?.limit !== undefined) return;
  if (outcome !== `allowed ${verdict.kind}`) fail(`${outcome}, where nothing is wrong`);
}

/** Counts what passes against the limits, which the counters keep in a way of their own. */
function createLedger() {
  const charged = new Map<string, Set<string>>();
  const counts = new Map<string, number>();
  let doors = 0;
  const numbers = new Map<Door, number>();
  return {
    book(door: Door, { verdict }: Judgement, _answered: Answered, outcome: string): void {
      if (outcome !== 'allowed model' || verdict?.person?.limit === undefined) return;
      const { person, id } = verdict;
      if (!numbers.has(door)) numbers.set(door, (doors += 1));
      const key = `${numbers.get(door)} ${person?.subject}`;
      const ids = charged.get(key) ?? new Set();
      charged.set(key, ids);
      // A retry of what was charged is free.
      if (id !== '' && ids.has(id)) return;
      ids.add(id);
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      if (count > (person?.limit ?? 0)) fail(`request ${count} of ${person?.limit}`);
    },
  };
}
