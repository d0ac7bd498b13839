import type { MethodDefinition } from '@grpc/grpc-js';

const same = (message: Buffer) => message;

/** Authorization.Check in raw bytes: what is wrong with a message is then ours to answer, and not gRPC's. */
export const checkMethod: MethodDefinition<Buffer, Buffer> = {
  path: '/envoy.service.auth.v3.Authorization/Check',
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

export const authorizationDefinition = { Check: checkMethod } as const;
