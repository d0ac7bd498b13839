import { createAssignTier } from '../check/tier.ts';
import { isDenied } from '../check/outcome.ts';
import { formatDuration } from '../duration.ts';
import type { Policy, Tier, WindowLimit, WindowUnit } from '../policy/policy.ts';
import { admin, bob, largeModel, modelNamespace, type SandboxUser, sandboxUsers } from './seed.ts';

export interface StartTextOptions {
  readonly gatewayUrl: string;
  /** `Envoy at PATH`, or that the built-in one stands in. */
  readonly gateway: string;
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly opsUrl: string;
  /** Undefined where it could not listen; a note says so. */
  readonly consoleUrl: string | undefined;
  /** How the programs are called from where it was started: `node dist/main.js`. */
  readonly tiergate: string;
  readonly kubernetesUrl: string;
  readonly expiredToken: string;
  readonly policy: Policy;
  /** Sentences about what was asked for and is not there. */
  readonly notes: readonly string[];
}

/** What the sandbox says when it is ready: what runs, who is who, and lines to paste. */
export function startText(options: StartTextOptions): string {
  const {
    gatewayUrl,
    gateway,
    grpcAddress,
    httpAddress,
    opsUrl,
    consoleUrl,
    tiergate,
    kubernetesUrl,
    expiredToken,
    policy,
    notes,
  } = options;
  const tierOf = createTierOf(policy);
  const users = sandboxUsers.map((user) => {
    const standing = [tierWords(tierOf(user)), ...(user.words === undefined ? [] : [user.words])];
    return `  ${user.token.padEnd(14)} ${user.username} (${standing.join('; ')})`;
  });
  const consoleLine =
    consoleUrl === undefined ? [] : [`console     ${consoleUrl} (log in with the token ${admin.token})`];
  return `
tiergate sandbox: everything on this machine, nothing kept.

  gateway     ${gatewayUrl} (${gateway})
  token API   ${gatewayUrl}/maas-api/docs
  authorizer  ${grpcAddress} (gRPC, ext_authz v3), http://${httpAddress} (the same over HTTP)
  probes      ${opsUrl}/readyz, ${opsUrl}/metrics
  cluster     ${kubernetesUrl} (embedded Kubernetes API)
${[...consoleLine, ...notes.map((note) => `note        ${note}`)].map((line) => `  ${line}\n`).join('')}
Cluster tokens:
${users.join('\n')}

${numbered([...linesToPaste(gatewayUrl, expiredToken, tierOf(bob)), ...whyLine(tiergate, consoleUrl)]).join('\n\n')}

Ctrl-C ends it.`;
}

/**
 * One text a step, in words that a shell may be given too: some take a pasted `#` for a command, and would wait
 * for the other half of an apostrophe. What they say of tiers and limits is the policy's that is in force.
 */
function linesToPaste(gatewayUrl: string, expiredToken: string, tier: Tier | undefined): readonly string[] {
  const url = (model: string) => `${gatewayUrl}/${modelNamespace}/${model}/v1/chat/completions`;
  const chat = (model: string, how: string, more: object = {}) => {
    const body = JSON.stringify({ model, ...more, messages: [{ role: 'user', content: 'Hello' }] });
    return `${how} ${url(model)} -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -d '${body}'`;
  };
  const unknown = `refused: nobody learns whether this model exists (403)
${chat('no-such-model', 'curl -i')}`;
  const forbidden = `refused: the tier of bob may not use this model, and nobody learns whether that one exists (403)
${chat(largeModel.name, 'curl -i')}
${chat('no-such-model', 'curl -i')}`;
  const limit = requestLimit(tier);
  return [
    `swap a cluster token for an access token
TOKEN=$(curl -s ${gatewayUrl}/maas-api/v1/tokens -X POST -H 'Authorization: Bearer ${bob.token}' |
  node -pe 'JSON.parse(require("fs").readFileSync(0)).token')`,
    `chat, then the same as a stream
${chat('llama', 'curl -i')}
${chat('llama', 'curl -i', { stream: true })}`,
    `refused: no token, garbage, an expired one (401)
curl -i ${url('llama')} -X POST
curl -i ${url('llama')} -X POST -H 'Authorization: Bearer garbage'
EXPIRED=${expiredToken}
curl -i ${url('llama')} -X POST -H "Authorization: Bearer $EXPIRED"`,
    tier !== undefined && largeModel.tiers.includes(tier.name) ? unknown : forbidden,
    `refused: a path that two servers could read in two ways (400)
curl -i --path-as-is ${gatewayUrl}/${modelNamespace}/llama/../${largeModel.name}/v1/chat/completions -X POST -H "Authorization: Bearer $TOKEN"`,
    ...(limit === undefined
      ? []
      : [
          `the limit of bob: two of ${limit} are used, ${limit - 2} more pass, the next is denied (429, with Retry-After)
for n in $(seq ${limit - 2}); do ${chat('llama', "curl -s -o /dev/null -w '%{http_code}\\n'")}; done
${chat('llama', 'curl -i')}`,
        ]),
  ];
}

/** Of the authorizer whose console listens: what it would say to one more request. */
function whyLine(tiergate: string, consoleUrl: string | undefined): readonly string[] {
  if (consoleUrl === undefined) return [];
  return [
    `why: what the authorizer would say to one more request, stage by stage, and what would change it (bash or zsh)
echo "$TOKEN" | ${tiergate} explain --token-stdin /${modelNamespace}/llama/v1/chat/completions --authorizer ${consoleUrl} --token-file <(echo ${admin.token})`,
  ];
}

function numbered(steps: readonly string[]): readonly string[] {
  return steps.map((step, at) => `# ${at + 1}. ${step}`);
}

/** More than anybody would wait for to see a limit denied. */
const mostToTry = 100;

/** The requests after which one is denied, where it takes neither too few to show nor too many to try. */
function requestLimit(tier: Tier | undefined): number | undefined {
  const limit = Math.min(...enforced(tier, 'requests').map((window) => window.limit));
  return limit > 2 && limit <= mostToTry ? limit : undefined;
}

function enforced(tier: Tier | undefined, wanted: WindowUnit): readonly WindowLimit[] {
  return (tier?.windows ?? []).filter(({ unit, mode }) => unit === wanted && mode === 'enforce');
}

function tierWords(tier: Tier | undefined): string {
  if (tier === undefined) return 'no tier';
  const words = (windows: readonly WindowLimit[], unit: string) =>
    windows.map(({ limit, windowMs }) => `${limit} ${unit} per ${formatDuration(windowMs)}`);
  const requests = words(enforced(tier, 'requests'), 'requests');
  const limits = [
    ...(requests.length === 0 ? ['no limit of requests'] : requests),
    ...words(enforced(tier, 'tokens'), 'tokens'),
  ];
  return `${tier.name}: ${limits.join(', ')}`;
}

/** The tier of a person: by their own groups, and the one of everybody whom an API server knows. */
function createTierOf(policy: Policy): (user: SandboxUser) => Tier | undefined {
  const assignTier = createAssignTier(() => policy);
  return ({ groups }) => {
    const tier = assignTier([...groups, 'system:authenticated']);
    return isDenied(tier) ? undefined : tier;
  };
}
