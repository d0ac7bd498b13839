/** An Initial Access Token as the registrar tells of it in its metrics (docs/registrar.md). */
export interface RegistrarToken {
  /** Where it is kept. */
  readonly path: string;
  readonly provider: string | undefined;
  readonly environment: string | undefined;
  /** Undefined: it never expires, or the registrar does not know. */
  readonly expiresAtMs: number | undefined;
  readonly remainingClients: number | undefined;
  readonly isUsable: boolean;
}

export type RegistrarState =
  | {
      readonly state: 'answered';
      readonly converged: boolean | undefined;
      readonly tokens: readonly RegistrarToken[];
    }
  /** The registrar is another program, and this process could not ask it. */
  | { readonly state: 'unreachable' };

/** Port: how the registrar's tokens are. Never rejects. */
export type ReadRegistrar = () => Promise<RegistrarState>;

const timeoutMs = 2_000;
const maxBytes = 4 * 1024 * 1024;

/** Reads `/metrics` of a registrar's ops port. */
export function createReadRegistrar(url: string): ReadRegistrar {
  const target = new URL('/metrics', url);
  return async () => {
    try {
      const response = await fetch(target, { redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
      const text = await response.text();
      if (!response.ok || text.length > maxBytes) return { state: 'unreachable' };
      return stateFrom(text);
    } catch {
      return { state: 'unreachable' };
    }
  };
}

interface Line {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function stateFrom(text: string): RegistrarState {
  const lines = text.split('\n').flatMap(lineFrom);
  const named = (name: string) => lines.filter((line) => line.name === name);
  const about = (name: string, path: string | undefined) =>
    named(name).find(({ labels }) => labels['path'] === path);
  const converged = named('tiergate_registrar_converged')[0]?.value;
  const tokens = named('rhidp_sso_client_iat_usable').map(({ labels, value }): RegistrarToken => {
    const { path = '' } = labels;
    const info = lines.find((line) => line.labels['path'] === path && line.labels['idp'] !== undefined);
    const expiresAt = about('rhidp_sso_client_inital_access_token_expiration', path)?.value;
    return {
      path,
      provider: info?.labels['idp'],
      environment: info?.labels['environment'],
      expiresAtMs: expiresAt === undefined ? undefined : expiresAt * 1000,
      remainingClients: about('rhidp_sso_client_iat_remaining_clients', path)?.value,
      isUsable: value === 1,
    };
  });
  return { state: 'answered', converged: converged === undefined ? undefined : converged === 1, tokens };
}

/** One sample of the exposition format 0.0.4; comments and what is none: nothing. */
function lineFrom(line: string): readonly Line[] {
  const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
  if (name === undefined || value === undefined) return [];
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', text = '']) => [
    key,
    text.replaceAll(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter)),
  ]);
  return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
}
