import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

import type { KubeClient } from './kube-client.ts';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const pluralByKind: Readonly<Record<string, string>> = {
  ServiceAccount: 'serviceaccounts',
  Namespace: 'namespaces',
  ConfigMap: 'configmaps',
  Role: 'roles',
  RoleBinding: 'rolebindings',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: 'validatingadmissionpolicybindings',
  CustomResourceDefinition: 'customresourcedefinitions',
  Secret: 'secrets',
  Service: 'services',
  Deployment: 'deployments',
  StatefulSet: 'statefulsets',
  PodDisruptionBudget: 'poddisruptionbudgets',
  HorizontalPodAutoscaler: 'horizontalpodautoscalers',
  NetworkPolicy: 'networkpolicies',
  ServiceMonitor: 'servicemonitors',
  PrometheusRule: 'prometheusrules',
  HTTPRoute: 'httproutes',
  ReferenceGrant: 'referencegrants',
  EnvoyFilter: 'envoyfilters',
  SecurityPolicy: 'securitypolicies',
  ClientTrafficPolicy: 'clienttrafficpolicies',
  EnvoyProxy: 'envoyproxies',
  EnvoyPatchPolicy: 'envoypatchpolicies',
};

/** Manifests that we ship, as they are, of a file in deploy/base. */
export function readManifests(name: string): readonly Manifest[] {
  const text = readFileSync(join(import.meta.dirname, '../../deploy/base', name), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

/** Makes each object; throws unless every one is new and accepted. */
export async function applyManifests(admin: KubeClient, manifests: readonly Manifest[]): Promise<void> {
  for (const manifest of manifests) {
    const { status, body } = await admin.post(collectionOf(manifest), manifest);
    if (status !== 201)
      throw new Error(`${manifest.kind} ${manifest.metadata.name}: ${JSON.stringify(body)}`);
  }
}

export async function replaceManifest(admin: KubeClient, manifest: Manifest): Promise<void> {
  const { status, body } = await admin.put(`${collectionOf(manifest)}/${manifest.metadata.name}`, manifest);
  if (status !== 200) throw new Error(`${manifest.kind} ${manifest.metadata.name}: ${JSON.stringify(body)}`);
}

export function collectionOf({ apiVersion, kind, metadata }: Manifest): string {
  const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  const place = metadata.namespace === undefined ? root : `${root}/namespaces/${metadata.namespace}`;
  const plural = pluralByKind[kind];
  if (plural === undefined) throw new Error(`no plural is known for ${kind}`);
  return `${place}/${plural}`;
}

/** LLMInferenceService of KServe, as far as anybody here looks: any content goes. */
const llmInferenceServiceDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'llminferenceservices.serving.kserve.io' },
  spec: {
    group: 'serving.kserve.io',
    scope: 'Namespaced',
    names: {
      kind: 'LLMInferenceService',
      listKind: 'LLMInferenceServiceList',
      plural: 'llminferenceservices',
      singular: 'llminferenceservice',
    },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      },
    ],
  },
} as const;

/** Installs the definition and waits until the API server serves it. */
export async function installModelDefinition(admin: KubeClient): Promise<void> {
  await applyManifests(admin, [llmInferenceServiceDefinition]);
  const untilMs = Date.now() + 10_000;
  for (;;) {
    const { status } = await admin.get('/apis/serving.kserve.io/v1alpha1/llminferenceservices');
    if (status === 200) return;
    if (Date.now() > untilMs) throw new Error('the API server does not serve LLMInferenceServices');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
