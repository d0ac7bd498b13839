import protobuf from 'protobufjs';

/** Every way in which `ours` says something that `originals` does not say identically; empty when it is a subset. */
export function disagreements(ours: protobuf.Root, originals: protobuf.Root): readonly string[] {
  const found: string[] = [];
  const compare = (name: string, mine: unknown, theirs: unknown) => {
    if (JSON.stringify(mine) !== JSON.stringify(theirs)) {
      found.push(`${name}: ours ${JSON.stringify(mine)}, original ${JSON.stringify(theirs)}`);
    }
  };
  for (const object of declared(ours)) {
    const original = originals.lookup(object.fullName);
    if (object instanceof protobuf.Type) {
      if (!(original instanceof protobuf.Type)) found.push(`${object.fullName}: no such message`);
      else {
        for (const field of object.fieldsArray) {
          const theirs = original.fields[field.name];
          compare(field.fullName, shapeOfField(field), theirs && shapeOfField(theirs));
        }
      }
    } else if (object instanceof protobuf.Enum) {
      if (!(original instanceof protobuf.Enum)) found.push(`${object.fullName}: no such enum`);
      else {
        for (const [name, value] of Object.entries(object.values)) {
          compare(`${object.fullName}.${name}`, value, original.values[name]);
        }
      }
    } else if (object instanceof protobuf.Service) {
      if (!(original instanceof protobuf.Service)) found.push(`${object.fullName}: no such service`);
      else {
        for (const method of object.methodsArray) {
          const theirs = original.methods[method.name];
          compare(method.fullName, shapeOfMethod(method), theirs && shapeOfMethod(theirs));
        }
      }
    }
  }
  return found;
}

/** Messages, enums and services of ours, however deep; not what protobufjs bundles under google.protobuf. */
export function declared(namespace: protobuf.NamespaceBase): readonly protobuf.ReflectionObject[] {
  if (namespace.fullName === '.google.protobuf') return [];
  const within = namespace.nestedArray.flatMap((object) =>
    object instanceof protobuf.Namespace ? declared(object) : [object],
  );
  const isNamed = namespace instanceof protobuf.Type || namespace instanceof protobuf.Service;
  return isNamed ? [namespace, ...within] : within;
}

function shapeOfField(field: protobuf.Field) {
  return {
    id: field.id,
    type: field.resolvedType?.fullName ?? field.type,
    repeated: field.repeated,
    mapKey: field instanceof protobuf.MapField ? field.keyType : undefined,
    oneof: field.partOf?.name,
    packed: field.packed,
  };
}

function shapeOfMethod(method: protobuf.Method) {
  return {
    request: method.resolvedRequestType?.fullName,
    requestStream: method.requestStream === true,
    response: method.resolvedResponseType?.fullName,
    responseStream: method.responseStream === true,
  };
}
