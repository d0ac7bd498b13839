/** What MaaS puts on everything it makes for a tier, so that both find each other's. */
export function tierLabels(instance: string, tier: string): Readonly<Record<string, string>> {
  return {
    'app.kubernetes.io/component': 'token-issuer',
    'app.kubernetes.io/part-of': 'maas-api',
    'maas.opendatahub.io/instance': instance,
    'maas.opendatahub.io/tier': tier,
  };
}

export const tierNamespaceLabel = 'maas.opendatahub.io/tier-namespace';
export const instanceLabel = 'maas.opendatahub.io/instance';
