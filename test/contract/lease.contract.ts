import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createKubernetesClient, type KubernetesClient } from '../../src/kubernetes/client.ts';
import { createFixedConnection } from '../../src/kubernetes/connection.ts';
import { createLease, type Lease } from '../../src/kubernetes/lease.ts';
import { createSecret } from '../../src/secret.ts';
import type { ApiServer } from '../issue/issuer-world.ts';
import { createManualClock } from '../support/manual-clock.ts';

/** Leader election: the same in front of the embedded API server and of a real one. */
export function describeLease(name: string, start: () => Promise<ApiServer & { stop: () => Promise<void> }>) {
  describe(`a Lease of ${name}`, () => {
    let kube: ApiServer & { stop: () => Promise<void> };
    let client: KubernetesClient;
    const clock = createManualClock(Date.now());
    let next = 0;

    beforeAll(async () => {
      kube = await start();
      client = createKubernetesClient({
        connection: createFixedConnection({
          server: kube.url,
          ...(kube.caPem !== undefined && { caPem: kube.caPem }),
          token: createSecret(kube.adminToken),
        }),
        timeoutMs: 5_000,
      });
    });

    afterAll(async () => {
      client.close();
      await kube.stop();
    });

    /** Replicas that want the same Lease, which is a new one. */
    function replicas(count: number): readonly Lease[] {
      next += 1;
      const options = { client, namespace: 'default', name: `lease-${next}`, durationSeconds: 10 };
      return Array.from({ length: count }, (_, index) =>
        createLease({ ...options, identity: `replica-${index}`, now: clock.now }),
      );
    }

    it('goes to exactly one of those who want it at once', async () => {
      const all = replicas(8);
      const held = await Promise.all(all.map((lease) => lease.hold()));
      expect(held.filter(Boolean)).toHaveLength(1);
      const again = await Promise.all(all.map((lease) => lease.hold()));
      expect(again).toEqual(held);
    });

    it('stays with who renews it', async () => {
      const [mine, other] = replicas(2);
      expect(await mine?.hold()).toBe(true);
      for (let round = 0; round < 5; round += 1) {
        expect(await other?.hold()).toBe(false);
        clock.advance(9_000);
        expect(await mine?.hold()).toBe(true);
      }
      expect(await other?.hold()).toBe(false);
    });

    it('goes on to another once it was not renewed for its duration, by the clock of the other', async () => {
      const [gone, other] = replicas(2);
      expect(await gone?.hold()).toBe(true);
      clock.advance(60_000);
      // The first look only begins to count: clocks need not agree.
      expect(await other?.hold()).toBe(false);
      clock.advance(9_999);
      expect(await other?.hold()).toBe(false);
      clock.advance(1);
      expect(await other?.hold()).toBe(true);
      expect(await gone?.hold()).toBe(false);
    });

    it('is free at once when it was given back', async () => {
      const [mine, other] = replicas(2);
      expect(await mine?.hold()).toBe(true);
      await other?.release();
      expect(await other?.hold()).toBe(false);
      await mine?.release();
      expect(await other?.hold()).toBe(true);
    });
  });
}
