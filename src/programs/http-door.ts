import type { Check } from '../check/check.ts';
import { createCheckDoor, type CheckDoor } from '../http/check-door/server.ts';
import { checkDoorProfiles } from '../http/check-door/profiles.ts';
import { formatListenAddress } from '../process/listen-address.ts';
import { traceHeaders } from '../process/tracing.ts';
import type { RecordOutcome } from './record-outcome.ts';
import type { ServerContext } from './run-server.ts';
import { headersRead } from './wire-check.ts';

/** A proxy that is missing in `trust` asks in vain on every request. */
const untrustedEveryMs = 60_000;

/** The HTTP door, where the process file has one. */
export function createHttpDoor(
  check: Check,
  { config, log }: ServerContext,
  recordOutcome: RecordOutcome,
): CheckDoor | undefined {
  const { http } = config.listeners;
  if (http === undefined) return undefined;
  let saidAtMs = Number.NEGATIVE_INFINITY;

  /** The client's 400 says nothing to the operator whose mistake it is. */
  function tellUntrusted(): void {
    const nowMs = performance.now();
    if (nowMs - saidAtMs < untrustedEveryMs) return;
    saidAtMs = nowMs;
    log.warn('untrusted_proxy', { profile: http?.profile, see: 'listeners.http.trust' });
  }

  return createCheckDoor({
    address: formatListenAddress(http.address),
    socketAccess: http.socket,
    profile: checkDoorProfiles[http.profile],
    trust: http.trust,
    check,
    headers: [...headersRead(config), ...(config.tracing === undefined ? [] : traceHeaders)],
    credentialHeaders: config.credential.headers,
    realm: config.instance,
    recordOutcome,
    onUntrusted: tellUntrusted,
    onError: (error, fault) => log.error('server_fault', { door: 'http', fault, error }),
  });
}
