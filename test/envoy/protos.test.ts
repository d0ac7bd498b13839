import type protobuf from 'protobufjs';
import { beforeAll, describe, expect, test } from 'vitest';
import { declared, disagreements } from './proto-agreement.ts';
import { loadOriginals, loadOurs } from './proto-roots.ts';

let originals: protobuf.Root;
beforeAll(async () => {
  originals = await loadOriginals();
});

describe('our protos', () => {
  test('are subsets of the originals, field for field', async () => {
    const ours = await loadOurs();
    expect(declared(ours).map((object) => object.fullName)).toEqual(
      expect.arrayContaining([
        '.envoy.service.auth.v3.Authorization',
        '.envoy.service.auth.v3.AttributeContext.HttpRequest',
        '.envoy.config.core.v3.HeaderValueOption.HeaderAppendAction',
        '.envoy.type.v3.StatusCode',
        '.envoy.service.ratelimit.v3.RateLimitService',
        '.envoy.service.ratelimit.v3.RateLimitResponse.DescriptorStatus',
        '.envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry',
        '.envoy.service.accesslog.v3.AccessLogService',
        '.envoy.data.accesslog.v3.AccessLogCommon',
        '.envoy.service.ext_proc.v3.ExternalProcessor',
        '.envoy.service.ext_proc.v3.ProcessingRequest',
        '.google.rpc.Status',
        '.grpc.health.v1.Health',
      ]),
    );
    expect(disagreements(ours, originals)).toEqual([]);
  });

  /** One mistake of each kind, each in a copy of its own. */
  test.each([
    ['a number', 'string path = 4;', 'string path = 19;', 'HttpRequest.path'],
    ['a name', 'string host = 5;', 'string hosts = 5;', 'HttpRequest.hosts'],
    ['a type', 'bytes raw_value = 3;', 'string raw_value = 3;', 'HeaderValue.raw_value'],
    ['a message type', 'Peer source = 1;', 'Request source = 1;', 'AttributeContext.source'],
    ['a label', 'repeated HeaderValue headers = 1;', 'HeaderValue headers = 1;', 'HeaderMap.headers'],
    [
      'a map',
      'map<string, string> context_extensions = 10;',
      'map<string, bytes> context_extensions = 10;',
      'AttributeContext.context_extensions',
    ],
    [
      'a oneof',
      'oneof address {\n    SocketAddress socket_address = 1;\n  }',
      'SocketAddress socket_address = 1;',
      'Address.socket_address',
    ],
    ['an enum value', 'TooManyRequests = 429;', 'TooManyRequests = 420;', 'StatusCode.TooManyRequests'],
    ['a method', 'rpc Check(CheckRequest)', 'rpc Ask(CheckRequest)', 'Authorization.Ask'],
    ['streaming', 'returns (stream HealthCheckResponse)', 'returns (HealthCheckResponse)', 'Health.Watch'],
    [
      'a field gained later',
      'hits_addend = 3;\n\n  // Units',
      'hits_addend = 5;\n\n  // Units',
      'RateLimitDescriptor.hits_addend',
    ],
    ['a way', 'rpc StreamAccessLogs(stream ', 'rpc StreamAccessLogs(', 'AccessLogService.StreamAccessLogs'],
    ['an entry', 'Metadata metadata = 17;', 'Metadata metadata = 18;', 'AccessLogCommon.metadata'],
    ['a flag', 'bool observability_mode = 10;', 'bool observability_mode = 11;', 'observability_mode'],
    ['a package', 'package grpc.health.v1;', 'package grpc.health.v2;', '.grpc.health.v2.Health'],
  ] as const)('are told apart from the originals by %s', async (_kind, right, wrong, named) => {
    let edited = 0;
    const ours = await loadOurs((_path, text) => {
      if (text.includes(right)) edited += 1;
      return text.replace(right, wrong);
    });
    expect(edited).toBe(1);
    expect(disagreements(ours, originals).join('\n')).toContain(named);
  });
});
