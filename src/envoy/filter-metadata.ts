import type { MetadataScalar } from '../check/check-input.ts';
import { enter, enterEntry, leave, readFields, readMessage, readText, skip, type Wire } from './wire.ts';

/** What is read of Envoy's dynamic metadata: one namespace. */
export interface MetadataDraft extends Wire {
  readonly namespace: string;
  metadata: Map<string, MetadataScalar> | undefined;
}

/** The namespace that Envoy's filters write for us. */
export const usageNamespace = 'tiergate';
/** The namespace that Envoy's ext_authz filter keeps our answer in. */
export const grantedNamespace = 'envoy.filters.http.ext_authz';

/** The message `Metadata`: the scalars of the wanted namespace, whichever filters wrote them. */
export function filterMetadata(draft: MetadataDraft, field: number): boolean {
  return field === 1 && readNamespace(draft);
}

/** An entry of `filter_metadata`. Other namespaces may hold anything: they are stepped over. */
function readNamespace(draft: MetadataDraft): true {
  const { reader } = draft;
  const outerEnd = enterEntry(draft);
  const start = reader.pos;
  let namespace = '';
  readFields(draft, (_draft, field) => {
    if (field !== 1) return false;
    namespace = readText(draft);
    return true;
  });
  if (namespace === draft.namespace) {
    draft.metadata = new Map();
    // Once more, because nothing says that the key comes before the value.
    reader.pos = start;
    readFields(draft, (_draft, field) => field === 2 && readMessage(draft, struct));
  }
  leave(draft, outerEnd);
  return true;
}

function struct(draft: MetadataDraft, field: number): boolean {
  if (field !== 1) return false;
  const outerEnd = enterEntry(draft);
  let key = '';
  let scalar: MetadataScalar | undefined;
  readFields(draft, (_draft, within) => {
    if (within === 1) key = readText(draft);
    else if (within === 2) scalar = readScalar(draft, scalar);
    else return false;
    return true;
  });
  leave(draft, outerEnd);
  const metadata = (draft.metadata ??= new Map());
  if (scalar === undefined) metadata.delete(key);
  else metadata.set(key, scalar);
  return true;
}

/** A google.protobuf.Value; undefined for null, lists and structs. `scalar` is what an earlier part of it said. */
function readScalar(draft: MetadataDraft, earlier: MetadataScalar | undefined): MetadataScalar | undefined {
  const { reader } = draft;
  const outerEnd = enter(draft);
  let scalar = earlier;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    switch (tag) {
      case 0x11: // number_value = 2, eight bytes
        scalar = reader.double();
        break;
      case 0x1a: // string_value = 3
        scalar = readText(draft);
        break;
      case 0x20: // bool_value = 4, varint
        scalar = reader.bool();
        break;
      case 0x08: // null_value = 1
      case 0x2a: // struct_value = 5
      case 0x32: // list_value = 6
        scalar = undefined;
        skip(draft, tag);
        break;
      default:
        skip(draft, tag);
    }
  }
  leave(draft, outerEnd);
  return scalar;
}
