import type { CheckDoorProfile } from './profile.ts';
import { caddyProfile } from './profile-caddy.ts';
import { envoyProfile } from './profile-envoy.ts';
import { istioProfile } from './profile-istio.ts';
import { nginxProfile } from './profile-nginx.ts';
import { traefikProfile } from './profile-traefik.ts';

/** By the word that the process file has for them. */
export const checkDoorProfiles = {
  envoy: envoyProfile,
  istio: istioProfile,
  nginx: nginxProfile,
  caddy: caddyProfile,
  traefik: traefikProfile,
} as const satisfies Readonly<Record<string, CheckDoorProfile>>;
