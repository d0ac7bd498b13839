import type { CheckDoorProfile } from './profile.ts';
import { envoyProfile } from './profile-envoy.ts';

/**
 * Istio's `envoyExtAuthzHttp` is Envoy's `http_service`, configured in fewer words: it has none for dynamic metadata
 * and for local replies, which an EnvoyFilter adds (deploy/overlays/sidecar-istio).
 */
export const istioProfile: CheckDoorProfile = envoyProfile;
