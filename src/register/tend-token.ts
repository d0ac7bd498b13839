import { isDependencyError } from '../dependency-error.ts';
import type { Realm } from './action-context.ts';
import type { IatLife } from './iat-life.ts';
import { type IatState, type IatUrgency, type Instance, urgencyOf } from './iat-state.ts';
import type { Administration, Registration } from './registration.ts';
import { renew, type RenewalOptions, renewalReason, type RenewalResult } from './renewal.ts';

/** An instance with everything that talks to it. */
export interface ManagedInstance {
  readonly life: IatLife;
  readonly registration: Registration;
  readonly administration: Administration | undefined;
  /** Undefined: renewed by people. */
  readonly renewal: RenewalOptions | undefined;
}

/** An instance and its token in the course of one pass. */
export interface TendedInstance {
  readonly managed: ManagedInstance;
  readonly state: IatState;
  /** How many clients the pass wants to register there. */
  readonly plannedCreates: number;
  /** Why the token is due for renewal; a dry run says it and does nothing. */
  readonly renewalDue: string | undefined;
  readonly renewal: RenewalResult | undefined;
}

/** An instance at the end of a pass. */
export interface InstanceReport {
  readonly instance: Instance;
  /** What is left on the token is counted after the pass's own registrations. */
  readonly state: IatState;
  readonly urgency: IatUrgency;
  /** How many clients are still to be registered there. */
  readonly plannedCreates: number;
  readonly renewalDue: string | undefined;
  readonly renewal: RenewalResult | undefined;
  readonly hasRevokedPrevious: boolean;
}

export interface Tending {
  readonly plannedCreates: number;
  readonly mayChange: boolean;
  readonly nowMs: number;
}

/** What the actions of the pass came to, as far as the instance's token is concerned. */
export interface TokenUse {
  readonly created: number;
  /** False: a registration was refused on account of the token. */
  readonly wentWell: boolean;
}

/** Renews the token if that is ours to do and due; creates of the same pass then use the new one. */
export async function tendToken(
  managed: ManagedInstance,
  state: IatState,
  { plannedCreates, mayChange, nowMs }: Tending,
  signal: AbortSignal,
): Promise<TendedInstance> {
  const { life, renewal: options } = managed;
  const renewalDue = options && renewalReason(state, life.instance, options, { plannedCreates, nowMs });
  const untouched = { managed, state, plannedCreates, renewalDue, renewal: undefined };
  if (renewalDue === undefined || !mayChange) return untouched;
  const renewal = await renew(life, renewalDue, signal);
  return { ...untouched, renewal, state: await life.inspect(signal) };
}

/**
 * Revokes the token before the present one, one good run after the change at the earliest: until then somebody
 * may still be using what they read before it. A revocation that fails is tried again by the next pass.
 */
export async function finishToken(
  tended: TendedInstance,
  { created, wentWell }: TokenUse,
  { mayChange, nowMs }: Omit<Tending, 'plannedCreates'>,
  signal: AbortSignal,
): Promise<InstanceReport> {
  const { managed, renewal } = tended;
  const remaining = tended.state.remaining && Math.max(0, tended.state.remaining - created);
  const state: IatState = { ...tended.state, remaining };
  const plannedCreates = Math.max(0, tended.plannedCreates - created);
  const isGoodRun =
    mayChange && wentWell && renewal === undefined && state.problem === undefined && state.isProbed;
  return {
    instance: managed.life.instance,
    state,
    urgency: urgencyOf(state, managed.life.instance, plannedCreates, nowMs),
    plannedCreates,
    renewalDue: tended.renewalDue,
    renewal,
    hasRevokedPrevious: isGoodRun && (await revokePrevious(managed.life, state, signal)),
  };
}

async function revokePrevious(life: IatLife, state: IatState, signal: AbortSignal): Promise<boolean> {
  try {
    return await life.revokePrevious(state, signal);
  } catch (error) {
    if (!isDependencyError(error)) throw error;
    return false;
  }
}

/** The realm of an instance, with its token if that is fit for use. */
export function realmOf(managed: ManagedInstance, state: IatState): Realm {
  const { token } = state;
  return {
    instance: managed.life.instance.name,
    registration: managed.registration,
    administration: managed.administration,
    initialAccess:
      token === undefined || state.problem !== undefined ? undefined : { token, id: state.claims?.id },
  };
}
