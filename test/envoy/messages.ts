import type protobuf from 'protobufjs';
import { loadOriginals } from './proto-roots.ts';

type Plain = Readonly<Record<string, unknown>>;

/** The Check messages by Envoy's own schema, as plain objects with the field names of the protos. */
export interface EnvoyMessages {
  /** Throws where the object is no CheckRequest. Structs may be plain objects, bytes `{ base64 }` or Buffers. */
  readonly encodeRequest: (request: Plain) => Buffer;
  readonly decodeRequest: (message: Buffer) => Plain;
  /** Throws where the bytes are no CheckResponse. Structs become plain objects. */
  readonly decodeResponse: (message: Buffer) => Plain;
  readonly encodeResponse: (response: Plain) => Buffer;
  /** A ProcessingRequest of the ext_proc filter. */
  readonly encodeProcessing: (request: Plain) => Buffer;
}

export async function loadEnvoyMessages(): Promise<EnvoyMessages> {
  const root = await loadOriginals();
  const request = root.lookupType('envoy.service.auth.v3.CheckRequest');
  const response = root.lookupType('envoy.service.auth.v3.CheckResponse');
  const processing = root.lookupType('envoy.service.ext_proc.v3.ProcessingRequest');
  return {
    encodeProcessing: (plain) => encode(processing, plain),
    encodeRequest: (plain) => encode(request, plain),
    decodeRequest: (message) => decode(request, message),
    encodeResponse: (plain) => encode(response, plain),
    decodeResponse: (message) => decode(response, message),
  };
}

function encode(type: protobuf.Type, plain: Plain): Buffer {
  const object = toMessage(type, plain) as Plain;
  return Buffer.from(type.encode(type.fromObject(object)).finish());
}

function decode(type: protobuf.Type, bytes: Buffer): Plain {
  const object = type.toObject(type.decode(bytes), { longs: Number, enums: String });
  return fromMessage(type, object) as Plain;
}

/** Plain objects in place of Structs become Structs; anything that the type has no field for is refused. */
function toMessage(type: protobuf.Type, value: unknown): unknown {
  if (type.fullName === '.google.protobuf.Struct') return toStruct(value as Plain);
  return mapFields(type, value as Plain, toMessage);
}

function fromMessage(type: protobuf.Type, value: unknown): unknown {
  if (type.fullName === '.google.protobuf.Struct') return fromStruct(value as Plain);
  return mapFields(type, value as Plain, fromMessage);
}

function mapFields(
  type: protobuf.Type,
  object: Plain,
  convert: (type: protobuf.Type, value: unknown) => unknown,
): Plain {
  return Object.fromEntries(
    Object.entries(object).map(([name, value]) => {
      const field = type.fields[name];
      if (field === undefined) throw new TypeError(`${type.fullName} has no field ${name}`);
      const inner = field.resolvedType;
      if (inner === null || !('fields' in inner)) return [name, value];
      if (field.map) {
        const entries = Object.entries(value as Plain);
        return [name, Object.fromEntries(entries.map(([key, entry]) => [key, convert(inner, entry)]))];
      }
      if (Array.isArray(value)) return [name, value.map((item) => convert(inner, item))];
      return [name, convert(inner, value)];
    }),
  );
}

function toStruct(plain: Plain): Plain {
  return {
    fields: Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, toValue(value)])),
  };
}

function toValue(value: unknown): Plain {
  if (value === null) return { nullValue: 0 };
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } };
  return { structValue: toStruct(value as Plain) };
}

function fromStruct({ fields = {} }: Plain): Plain {
  return Object.fromEntries(
    Object.entries(fields as Plain).map(([key, value]) => [key, fromValue(value as Plain)]),
  );
}

function fromValue(value: Plain): unknown {
  if ('listValue' in value) {
    const { values = [] } = value['listValue'] as { values?: Plain[] };
    return values.map(fromValue);
  }
  if ('structValue' in value) return fromStruct(value['structValue'] as Plain);
  return value['stringValue'] ?? value['numberValue'] ?? value['boolValue'] ?? null;
}
