import { audience, instance, modelPath } from './cluster-order.ts';

/**
 * Any number of access tokens by index, shaped and as long as those of a real cluster, made up without a key: for the
 * measurement of how a Check's cost grows with what is remembered, where nobody verifies them.
 */
const signature = 'A'.repeat(342);
const header = Buffer.from('{"alg":"RS256","kid":"k"}').toString('base64url');
const daySeconds = 86_400;
/** The same in whoever remembers them and whoever asks with them, which begin at different times. */
const issuedAtSeconds = Math.floor(Date.now() / 1000 / daySeconds) * daySeconds;

function grownToken(index: number, tier: string): string {
  const namespace = `${instance}-tier-${tier}`;
  const digits = String(index).padStart(12, '0');
  const name = `person-${digits}`;
  const claims = {
    iss: 'https://kubernetes.default.svc.cluster.local',
    aud: [audience],
    exp: issuedAtSeconds + 2 * daySeconds,
    iat: issuedAtSeconds,
    jti: `8f14e45f-ceea-467f-a0e6-${digits}`,
    sub: `system:serviceaccount:${namespace}:${name}`,
    'kubernetes.io': {
      namespace,
      serviceaccount: { name, uid: `c9f0f895-fb98-4b91-9f5c-${digits}` },
      secret: { name: `tgt-${digits}`, uid: `45c48cce-2e2d-4fbd-8a1a-${digits}` },
    },
  };
  return `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
}

const headers = {
  ':authority': 'maas.example.com',
  ':method': 'POST',
  ':path': modelPath('llama'),
  'content-type': 'application/json',
  'user-agent': 'OpenAI/Python 2.9.0',
  'x-request-id': '0f6f5d0e-8a4b-4cf2-9f0e-3f0b1f0c2a11',
};

/** CheckRequests of so many tokens, each as likely as any other, so that nothing but a cache of all of them helps. */
export function grownRequests(tokens: number): () => Buffer {
  return () => grownRequest(Math.floor(Math.random() * tokens));
}

/** Of the tier without limits, whose counters are Redis's and no cache of ours, unless said. */
export function grownRequest(index: number, tier = 'unlimited'): Buffer {
  const credential = headerField('authorization', `Bearer ${grownToken(index, tier)}`);
  const http = Buffer.concat([
    ...httpBefore,
    credential,
    text(0x22, modelPath('llama')),
    text(0x2a, 'maas.example.com'),
  ]);
  return field(0x0a, field(0x22, field(0x12, http)));
}

const headerField = (name: string, value: string): Buffer =>
  field(0x1a, Buffer.concat([text(0x0a, name), text(0x12, value)]));

const httpBefore = [
  text(0x0a, '12345678901234567890'),
  text(0x12, 'POST'),
  ...Object.entries(headers).map(([name, value]) => headerField(name, value)),
];

/** A protobuf field with a length: its tag, its length as a varint, itself. */
function field(tag: number, content: Buffer): Buffer {
  const length: number[] = [];
  for (let rest = content.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return Buffer.concat([Buffer.of(tag, ...length), content]);
}

function text(tag: number, value: string): Buffer {
  return field(tag, Buffer.from(value));
}
