import { existsSync, readFile } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';

/** Files of ours; the others come in as imports. */
const protoFiles = [
  'envoy/service/auth/v3/external_auth.proto',
  'envoy/service/auth/v3/attribute_context.proto',
  'envoy/service/ratelimit/v3/rls.proto',
  'envoy/service/accesslog/v3/als.proto',
  'envoy/service/ext_proc/v3/external_processor.proto',
  'grpc/health/v1/health.proto',
] as const;

const packageDir = (name: string) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));

export const ourProtoDir = fileURLToPath(new URL('../../protos', import.meta.url));

/** Our protos as they are, or as `edit` makes them: it is given each file's path and text. */
export function loadOurs(edit: (path: string, text: string) => string = (_path, text) => text) {
  return load([ourProtoDir], protoFiles, edit);
}

/**
 * What Envoy has added since the copy that the development dependency ships. `descriptor` is the field in Envoy's own
 * compiled-in FileDescriptorProto, where a real Envoy is asked for it (protos.real.ts).
 */
export const newerFields = [
  {
    path: 'envoy/extensions/common/ratelimit/v3/ratelimit.proto',
    after: 'RateLimitOverride limit = 2;',
    field: 'google.protobuf.UInt64Value hits_addend = 3;',
    descriptor: '\n\x0bhits_addend\x18\x03 \x01(\x0b2\x1c.google.protobuf.UInt64Value',
  },
  {
    path: 'envoy/extensions/common/ratelimit/v3/ratelimit.proto',
    after: 'RateLimitOverride limit = 2;',
    field: 'bool is_negative_hits = 4;',
    descriptor: '\n\x10is_negative_hits\x18\x04 \x01(\x08',
  },
] as const;

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
    addNewerFields,
  );
}

/** Its own imports leave the wrappers out, which one of the newer fields needs. */
const someImport = 'import "envoy/type/v3/ratelimit_unit.proto";';

function addNewerFields(file: string, text: string): string {
  const newer = newerFields.filter(({ path }) => file.endsWith(path));
  if (newer.length === 0) return text;
  return newer.reduce(
    (grown, { after, field }) => grown.replace(after, `${after}\n${field}`),
    text.replace(someImport, `${someImport}\nimport "google/protobuf/wrappers.proto";`),
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
