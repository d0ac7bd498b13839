import { describe, expect, it } from 'vitest';
import { gatewayBootstrap } from '../../src/sandbox/envoy-bootstrap.ts';
import { channels, readDeployed } from '../gateway/deployed-gateway.ts';

describe.each(channels)('the configuration for Envoy with settlement by %s', (channel) => {
  it('counts tokens by the same filters as the sandbox', async () => {
    const place = { port: 1, adminPort: 2, accessLogPath: '/dev/null' };
    const [authorizer, model] = [{ port: 3 }, { port: 4 }];
    const accessLog = channel === 'access-log' ? { accessLog: {} } : {};
    const sandbox = gatewayBootstrap(place, { authorizer, model, tokens: channel, ...accessLog });
    const deployed = await readDeployed(channel);
    for (const type of [
      'filters.http.header_mutation.v3.HeaderMutation',
      'JsonToMetadata',
      'SseToMetadata',
      'RateLimit',
      'RateLimitPerRoute',
      'ExternalProcessor',
      'HttpGrpcAccessLogConfig',
    ]) {
      expect(configsOf(deployed, type).length, type).toBe(configsOf(sandbox, type).length);
    }
    for (const type of [
      'JsonToMetadata',
      'SseToMetadata',
      'RateLimit',
      'RateLimitPerRoute',
      'ExternalProcessor',
    ]) {
      expect(configsOf(deployed, type)).toEqual(configsOf(sandbox, type));
    }
    expect(configsOf(deployed, 'filters.http.header_mutation.v3.HeaderMutation')).toMatchObject([
      { mutations: { request_mutations: [{ remove: 'accept-encoding' }] } },
    ]);
    expect(configsOf(deployed, 'ExtAuthz')).toMatchObject([{ metadata_context_namespaces: ['tiergate'] }]);
  });
});

type Config = Readonly<Record<string, unknown>>;

/** Every configuration of that type, however deep. */
function configsOf(value: unknown, type: string): readonly Config[] {
  if (typeof value !== 'object' || value === null) return [];
  const config = value as Config;
  const within = Object.values(config).flatMap((part) => configsOf(part, type));
  return String(config['@type']).endsWith(`.${type}`) ? [withoutDefaults(config), ...within] : within;
}

/** Envoy's own defaults may be said or left out. */
function withoutDefaults(value: unknown): Config {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) => (part === 'PROTOBUF_VALUE' ? undefined : part)),
  ) as Config;
}
