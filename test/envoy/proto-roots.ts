import { existsSync, readFile } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

/** Files of ours; the others come in as imports. */
const protoFiles = [
  'envoy/service/auth/v3/external_auth.proto',
  'envoy/service/auth/v3/attribute_context.proto',
  'grpc/health/v1/health.proto',
] as const;

const packageDir = (name: string) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));

export const ourProtoDir = fileURLToPath(new URL('../../protos', import.meta.url));

/** Our protos as they are, or as `edit` makes them: it is given each file's path and text. */
export function loadOurs(edit: (path: string, text: string) => string = (_path, text) => text) {
  return load([ourProtoDir], protoFiles, edit);
}

/** Envoy's own and gRPC's own, out of development dependencies. */
export function loadOriginals(): Promise<protobuf.Root> {
  const xds = join(packageDir('@grpc/grpc-js-xds'), 'deps');
  const health = 'health/v1/health.proto';
  return load(
    [
      ...['envoy-api', 'googleapis', 'protoc-gen-validate', 'xds'].map((name) => join(xds, name)),
      join(packageDir('grpc-health-check'), 'proto'),
      packageDir('protobufjs'),
    ],
    [...protoFiles.filter((path) => !path.endsWith(health)), health],
  );
}

async function load(
  folders: readonly string[],
  files: readonly string[],
  edit: (path: string, text: string) => string = (_path, text) => text,
): Promise<protobuf.Root> {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => {
    const folder = folders.find((candidate) => existsSync(join(candidate, target)));
    // What protobufjs itself bundles (google/protobuf/struct.proto) is asked for by that very name.
    return folder === undefined ? target : join(folder, target);
  };
  root.fetch = (path, callback) => {
    readFile(path, 'utf8', (error, text) => {
      // Its typings want an error even where there is none; null is what it looks for.
      callback(error as Error, error === null ? edit(path, text) : '');
    });
  };
  await root.load([...files], { keepCase: true });
  root.resolveAll();
  return root;
}
