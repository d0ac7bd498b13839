import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files of which a run would wait for the last one alone, were it not begun first: vitest knows how long a file takes
 * only where it ran before, and else goes by its size. From half a minute up.
 */
const long = [
  'programs/registrar.real.ts',
  'gateway/freshness.real.ts',
  'gateway/revocation.real.ts',
  'gateway/transport.real.ts',
  'gateway/faults.real.ts',
  'gateway/outages.real.ts',
  'console/console.real.ts',
  'gateway/token-budgets-faults.real.ts',
  'gateway/exactness.real.ts',
  'gateway/workers.real.ts',
  'gateway/sockets.real.ts',
  'contract/issue.real.ts',
  'redis/stack.real.ts',
];

/** The long ones in the order above, then the others in vitest's own. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const index = long.findIndex((name) => moduleId.endsWith(`/test/${name}`));
      return index === -1 ? long.length : index;
    };
    return (await super.sort(files)).toSorted((one, other) => place(one) - place(other));
  }
}
