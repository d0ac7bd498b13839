import { Type } from 'typebox';

/**
 * The shapes of the token API, said once: requests are checked by them, answers are written by them, and
 * OpenAPI 3.1 shows them. Success bodies are those that clients of MaaS know.
 */
const strict = { additionalProperties: false } as const;

/** C0, DEL and C1: nothing that a terminal or a log could take for a command. */
const printable = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$';

export const mintBody = Type.Object(
  {
    expiration: Type.Optional(
      Type.Unsafe<string | number | null>({
        type: ['string', 'number', 'null'],
        description:
          'How long the token is good: a Go duration such as `30m` or `4h`, or seconds. Default 4h, at least 10m.',
        examples: ['4h', '30m', 3600],
      }),
    ),
    name: Type.Optional(
      Type.String({ maxLength: 128, pattern: printable, description: 'A name to tell your tokens by.' }),
    ),
    description: Type.Optional(Type.String({ maxLength: 1024, pattern: printable })),
  },
  strict,
);

export const mintedToken = Type.Object({
  token: Type.String({ description: 'The access token. Shown once, kept nowhere.' }),
  expiration: Type.String({ description: 'The lifetime as a Go duration: `4h0m0s`.' }),
  expiresAt: Type.Integer({ description: 'Unix time in seconds.' }),
  issuedAt: Type.Integer({ description: 'Unix time in seconds.' }),
  jti: Type.String(),
  id: Type.String({ description: 'Names the token for `DELETE /v1/tokens/{id}`.' }),
  tier: Type.String(),
  name: Type.Optional(Type.String()),
});

export const tokenParams = Type.Object({ id: Type.String() });

export const ofUser = Type.Object(
  {
    user: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1024,
        description:
          'Another user, by the name that the cluster knows them by. Takes the rights of an administrator.',
      }),
    ),
  },
  strict,
);

const tokenEntry = Type.Object({
  object: Type.Literal('token'),
  id: Type.String(),
  jti: Type.String(),
  name: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  tier: Type.String(),
  createdAt: Type.Integer({ description: 'Unix time in seconds.' }),
  expiresAt: Type.Integer({ description: 'Unix time in seconds.' }),
});

export const tokenList = Type.Object({ object: Type.Literal('list'), data: Type.Array(tokenEntry) });

const modelEntry = Type.Object({
  id: Type.String(),
  created: Type.Integer({ description: 'Unix time in seconds.' }),
  object: Type.Literal('model'),
  owned_by: Type.String({ description: 'Namespace of the model.' }),
  url: Type.Optional(Type.String()),
  ready: Type.Boolean(),
  modelDetails: Type.Optional(
    Type.Object({
      genaiUseCase: Type.Optional(Type.String()),
      description: Type.Optional(Type.String()),
      displayName: Type.Optional(Type.String()),
    }),
  ),
});

export const modelList = Type.Object({ object: Type.Literal('list'), data: Type.Array(modelEntry) });

const usageWindow = Type.Object({
  scope: Type.String({ description: '`*`: all requests; else what the limit is narrowed to.' }),
  unit: Type.String({ description: '`requests`, `tokens`, `inputTokens` or `outputTokens`.' }),
  window: Type.String({ description: 'Length of the window: `2m`.' }),
  limit: Type.Integer(),
  used: Type.Integer(),
  remaining: Type.Integer(),
  resetAfterSeconds: Type.Integer({
    description: 'Until the window is whole again if nothing more is used.',
  }),
  mode: Type.String({ description: '`enforce`, or `shadow`: counted, never denied.' }),
});

const targets = {
  user: Type.Optional(
    Type.String({ minLength: 1, maxLength: 1024, description: 'As `/v1/whoami` calls them.' }),
  ),
  group: Type.Optional(
    Type.String({ minLength: 1, maxLength: 1024, description: 'A team: the name of its group.' }),
  ),
  model: Type.Optional(Type.String({ minLength: 1, maxLength: 317, description: '`namespace/name`' })),
};

const why = Type.String({
  minLength: 1,
  maxLength: 1024,
  pattern: printable,
  description: 'For the audit record.',
});

/** Exactly one of the targets, which the route says in words. */
export const ofTarget = Type.Object(targets, strict);

export const boostBody = Type.Object(
  {
    ...targets,
    percent: Type.Integer({ description: 'Of each limit: 200 doubles it. From 101 to 100000.' }),
    duration: Type.String({ maxLength: 64, description: 'Until its end: `2h`, at most `31d`.' }),
    reason: why,
  },
  strict,
);

export const resetBody = Type.Object({ ...targets, reason: why }, strict);

export const boosted = Type.Object({
  percent: Type.Integer(),
  endsAt: Type.Integer({ description: 'Unix time in seconds.' }),
});

export const usage = Type.Object({
  user: Type.String(),
  tier: Type.String(),
  unlimited: Type.Boolean(),
  boost: Type.Optional(
    Type.Object({
      percent: Type.Integer({ description: 'Of each limit; the limits below have it in them.' }),
      endsAfterSeconds: Type.Integer(),
    }),
  ),
  windows: Type.Array(usageWindow),
});

export const whoami = Type.Object({
  username: Type.String({ description: 'As the cluster calls you.' }),
  user: Type.String({ description: 'The name that your use is counted under.' }),
  groups: Type.Array(Type.String()),
  tier: Type.Union([Type.String(), Type.Null()]),
  displayName: Type.Optional(Type.String()),
  token: Type.Object({
    kind: Type.String({ description: '`cluster` or `access`.' }),
    jti: Type.Optional(Type.String()),
    expiresAt: Type.Optional(Type.Integer({ description: 'Unix time in seconds.' })),
  }),
});

export const lookupRequest = Type.Object(
  { groups: Type.Array(Type.String({ maxLength: 1024 }), { minItems: 1, maxItems: 1000 }) },
  strict,
);

export const lookupAnswer = Type.Object({ tier: Type.String(), displayName: Type.String() });

export const health = Type.Object({ status: Type.Literal('healthy') });

export const errorBody = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Type.Union([Type.String(), Type.Null()]),
    code: Type.String(),
    reason: Type.String({ description: 'Stable; also in the header `x-tiergate-reason`.' }),
  }),
});
