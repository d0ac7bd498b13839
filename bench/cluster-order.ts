/** What the embedded cluster of the benchmark is made of. */
export interface ClusterOrder {
  readonly port: number;
  readonly tiers: readonly string[];
  readonly models: number;
  readonly people: readonly People[];
}

export interface People {
  readonly tier: string;
  readonly subjects: number;
  readonly tokensEach: number;
  /** Where their tokens go, one a line, person by person. */
  readonly file: string;
}

export const instance = 'maas-default-gateway';
export const audience = `${instance}-sa`;

export const modelName = (index: number): string => `model-${index}`;
export const personName = (index: number): string => `person-${index}`;
export const modelPath = (name: string): string => `/llm/${name}/v1/chat/completions`;
