import { sandboxUsers } from './seed.ts';

export interface StartTextOptions {
  readonly gatewayUrl: string;
  /** `Envoy at PATH`, or that the built-in one stands in. */
  readonly gateway: string;
  readonly grpcAddress: string;
  readonly opsUrl: string;
  readonly kubernetesUrl: string;
  readonly expiredToken: string;
  /** Sentences about what was asked for and is not there. */
  readonly notes: readonly string[];
}

/** What the sandbox says when it is ready: what runs, who is who, and lines to paste. */
export function startText(options: StartTextOptions): string {
  const { gatewayUrl } = options;
  const chat = (model: string, body: string, token = '$TOKEN') =>
    `curl -i ${gatewayUrl}/llm/${model}/v1/chat/completions -H "Authorization: Bearer ${token}" \\
  -H 'Content-Type: application/json' -d '${body}'`;
  const hello = '{"model": "llama", "messages": [{"role": "user", "content": "Hello"}]}';
  const streamed = '{"model": "llama", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}';
  const users = sandboxUsers.map(
    ({ token, username, words }) => `  ${token.padEnd(14)} ${username} (${words})`,
  );
  return `
tiergate sandbox: everything on this machine, nothing kept.

  gateway     ${gatewayUrl} (${options.gateway})
  authorizer  ${options.grpcAddress} (gRPC, ext_authz v3)
  probes      ${options.opsUrl}/readyz, ${options.opsUrl}/metrics
  cluster     ${options.kubernetesUrl} (embedded Kubernetes API)
${options.notes.map((note) => `  note        ${note}\n`).join('')}
Cluster tokens:
${users.join('\n')}

# 1. swap a cluster token for an access token
TOKEN=$(curl -s ${gatewayUrl}/maas-api/v1/tokens -X POST -H 'Authorization: Bearer sandbox-bob' |
  node -pe 'JSON.parse(require("fs").readFileSync(0)).token')

# 2. chat, then the same as a stream
${chat('llama', hello)}
${chat('llama', streamed)}

# 3. refused: no token, garbage, an expired one (401)
curl -i ${gatewayUrl}/llm/llama/v1/chat/completions -X POST
curl -i ${gatewayUrl}/llm/llama/v1/chat/completions -X POST -H 'Authorization: Bearer garbage'
EXPIRED=${options.expiredToken}
curl -i ${gatewayUrl}/llm/llama/v1/chat/completions -X POST -H "Authorization: Bearer $EXPIRED"

# 4. refused: bob's tier may not use this model, and nobody learns whether that one exists (403)
${chat('qwen-large', hello)}
${chat('no-such-model', hello)}

# 5. refused: a path that two servers could read in two ways (400)
curl -i --path-as-is ${gatewayUrl}/llm/llama/../qwen-large/v1/chat/completions -X POST -H "Authorization: Bearer $TOKEN"

# 6. bob's limit: two of five are used; the fourth of these is denied (429, with Retry-After)
for n in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code}\\n' ${gatewayUrl}/llm/llama/v1/chat/completions \\
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '${hello}'; done

Ctrl-C ends it.`;
}
