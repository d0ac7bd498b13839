import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const protoDir = fileURLToPath(new URL('../../protos', import.meta.url));

/**
 * A service of `protos/`, its messages plain objects with the names of the files: absent messages null, absent scalars
 * and lists their zero value, enums text, 64-bit numbers doubles. Throws TypeError for a name that is not there.
 */
export function loadService(path: string, name: string): ServiceDefinition {
  const definition = loadSync(path, {
    includeDirs: [protoDir],
    keepCase: true,
    enums: String,
    longs: Number,
    defaults: true,
    oneofs: true,
  })[name];
  if (definition === undefined || 'format' in definition)
    throw new TypeError(`${path} has no service ${name}`);
  return definition;
}
