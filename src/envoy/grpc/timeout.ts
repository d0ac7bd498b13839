const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Milliseconds of a `grpc-timeout` header (gRPC's PROTOCOL-HTTP2); infinite where it says nothing. */
export function timeoutMs(header: string | undefined): number {
  const [, digits, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(header ?? '') ?? [];
  return digits === undefined ? Number.POSITIVE_INFINITY : Number(digits) * (unitMs[unit] ?? 1);
}
