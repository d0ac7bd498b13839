import { inWords } from './iat-acceptance.ts';
import { type IatState, type Instance, severityOf } from './iat-state.ts';

export interface TicketOptions {
  /** Whom to turn to when the ticket is not answered in time: from the configuration. */
  readonly escalation: string;
  /** Who asks, and to whom the token is to be delivered: from the configuration. */
  readonly requester: string;
}

/**
 * The request for a new Initial Access Token where making one is not ours, ready to paste. Its reference is
 * the same until the token is replaced: a ticket with this reference that is open already is the one.
 */
export function ticketText(instance: Instance, state: IatState, options: TicketOptions): string {
  const host = new URL(instance.issuer).hostname;
  const lines = [
    `Subject: New Initial Access Token for ${host} (${instance.environment})`,
    '',
    'Please issue a new Initial Access Token for dynamic client registration.',
    '',
    `  Instance:             ${host}`,
    `  Realm:                ${instance.issuer}`,
    `  Expiry date:          ${expiryLine(state)}`,
    `  Number of clients:    ${instance.clients}`,
    `  Expiration period:    ${inWords(instance.lifeMs)}`,
    `  Severity:             ${severityOf[instance.environment]}`,
    '',
    `Why: ${reasonLine(state)}`,
    'Impact: without a valid token the SSO profiles of new clusters can not be created. Profiles that exist keep',
    'working, and can still be changed and removed.',
    '',
    `Delivery: by a link that works once, to ${options.requester}. Please do not paste the token into this ticket.`,
    `Escalation: ${options.escalation}`,
    `Reference: iat/${instance.name}/${state.claims?.id ?? 'none'}`,
  ];
  return `${lines.join('\n')}\n`;
}

function expiryLine(state: IatState): string {
  if (state.claims === undefined) return 'no token is in place';
  const { expiresAtMs } = state.claims;
  if (expiresAtMs === undefined) return 'none (the present token does not expire)';
  const [date, time] = new Date(expiresAtMs).toISOString().split('T');
  return `${date} (${time?.slice(0, 5)} UTC, of the present token)`;
}

function reasonLine(state: IatState): string {
  if (state.problem !== undefined) return `the present token can not be used: ${state.detail}.`;
  const left = state.remaining === undefined ? '' : ` ${state.remaining} registrations are left on it.`;
  return `the present token runs out.${left}`;
}
