import type { AccessLogEntry } from '../check/access-log-entry.ts';
import type { MetadataScalar } from '../check/check-input.ts';
import { grantedNamespace, usageNamespace } from './filter-metadata.ts';

/** What proto-loader makes of a StreamAccessLogsMessage, as far as it is read here. */
export interface StreamAccessLogsMessage {
  readonly http_logs?: { readonly log_entry: readonly HttpAccessLogEntry[] } | null;
}

export interface HttpAccessLogEntry {
  readonly common_properties: {
    readonly metadata: { readonly filter_metadata: Readonly<Record<string, Struct>> } | null;
    readonly duration: { readonly seconds: number; readonly nanos: number } | null;
    readonly stream_id: string;
    readonly intermediate_log_entry: boolean;
    readonly access_log_type: string | number;
  } | null;
  readonly request: { readonly request_body_bytes: number } | null;
  readonly response: {
    readonly response_code: { readonly value: number } | null;
    readonly response_body_bytes: number;
    readonly response_code_details: string;
  } | null;
}

interface Struct {
  readonly fields: Readonly<Record<string, Value>>;
}

interface Value {
  readonly kind?: string;
  readonly [field: string]: unknown;
}

/**
 * Whether an entry tells the end of a request. Others come while it goes on, at its start, or about one of its attempts
 * upstream. Envoys from before `access_log_type` leave it unset.
 */
export function isEndOfRequest({ common_properties }: HttpAccessLogEntry): boolean {
  if (common_properties === null || common_properties.intermediate_log_entry) return false;
  return (
    common_properties.access_log_type === 'NotSet' || common_properties.access_log_type === 'DownstreamEnd'
  );
}

export function entryFromMessage(message: HttpAccessLogEntry): AccessLogEntry {
  const { common_properties: common, request, response } = message;
  const namespaces = common?.metadata?.filter_metadata ?? {};
  const duration = common?.duration ?? undefined;
  return {
    streamId: common?.stream_id ?? '',
    granted: scalarsOf(namespaces, grantedNamespace),
    usage: scalarsOf(namespaces, usageNamespace),
    responseCode: response?.response_code?.value,
    details: response?.response_code_details ?? '',
    requestBytes: request?.request_body_bytes ?? 0,
    responseBytes: response?.response_body_bytes ?? 0,
    durationMs: duration && duration.seconds * 1000 + duration.nanos / 1_000_000,
  };
}

function scalarsOf(
  namespaces: Readonly<Record<string, Struct>>,
  namespace: string,
): ReadonlyMap<string, MetadataScalar> {
  const scalars = new Map<string, MetadataScalar>();
  if (!Object.hasOwn(namespaces, namespace)) return scalars;
  for (const [key, value] of Object.entries(namespaces[namespace]?.fields ?? {})) {
    const scalar = value.kind === undefined ? undefined : value[value.kind];
    if (value.kind === 'nullValue') continue;
    if (typeof scalar === 'string' || typeof scalar === 'number' || typeof scalar === 'boolean') {
      scalars.set(key, scalar);
    }
  }
  return scalars;
}
