/**
 * The tiers of the benchmark, named after what is measured with them. Limits that nobody reaches, but for those that are there
 * to be reached; what makes a limit exact is a window too short for a lease (its slots are shorter than half a second).
 */
export const tiers: Readonly<Record<string, unknown>> = {
  leased: { requests: [{ limit: 1_000_000_000, window: '2m' }] },
  exact: { requests: [{ limit: 1_000_000_000, window: '9s' }] },
  three: {
    requests: [
      { limit: 100_000_000, window: '2m' },
      { limit: 500_000_000, window: '1h' },
      { limit: 1_000_000_000, window: '1d' },
    ],
  },
  unlimited: 'unlimited',
  spread: { requests: [{ limit: 1_000_000_000, window: '2m' }] },
  cold: { requests: [{ limit: 1_000_000_000, window: '2m' }] },
  tokens: {
    requests: [{ limit: 1_000_000_000, window: '2m' }],
    tokens: [{ limit: 1_000_000_000, window: '1m' }],
  },
  full: { requests: [{ limit: 1, window: '1d' }] },
};
