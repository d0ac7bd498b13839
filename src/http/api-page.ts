import type { IssuerApp } from './issuer-app.ts';

/** What the routes' own schemas do not say. */
export const apiDescription = {
  openapi: '3.1.0' as const,
  info: {
    title: 'tiergate token API',
    version: '1',
    description:
      'Swaps a token of the cluster for short-lived access tokens to model servers, and tells what you may use and have left. Every path also stands under the prefix /maas-api.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/' }, { url: '/maas-api' }],
  tags: [
    {
      name: 'tokens',
      description: 'Mint, list and revoke. Takes a token of the cluster, not an access token.',
    },
    { name: 'caller', description: 'What the gateway knows of you. Takes either token.' },
    { name: 'health' },
  ],
  components: {
    securitySchemes: { bearer: { type: 'http' as const, scheme: 'bearer', bearerFormat: 'JWT' } },
  },
};

/** A mint without a body asks for the defaults, which no schema of the body itself can say. */
export function describeOptionalBody(document: object): object {
  const { openapiObject } = document as { readonly openapiObject: { readonly paths: Paths } };
  const body = openapiObject.paths['/v1/tokens']?.['post']?.requestBody;
  if (body !== undefined) Object.assign(body, { required: false });
  return openapiObject;
}

type Paths = Readonly<Record<string, Readonly<Record<string, { readonly requestBody?: object }>>>>;

/** `/openapi.json`, and the same as a page that needs no script. */
export function registerApiPage(app: IssuerApp): void {
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(JSON.stringify(app.swagger())),
  );
  app.get('/docs', { schema: { hide: true } }, async (_request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .header(
        'content-security-policy',
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
      )
      .header('x-content-type-options', 'nosniff')
      .send(renderPage(app.swagger() as unknown as OpenApiDocument)),
  );
}

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
}

interface Operation {
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema?: Schema;
    readonly description?: string;
  }[];
  readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> };
  readonly responses?: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }>
  >;
}

/** Of an OpenAPI document, what the page shows. */
interface OpenApiDocument {
  readonly info: { readonly title: string; readonly description?: string };
  readonly tags?: readonly { readonly name: string; readonly description?: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const style =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}code{background:#8882;padding:0 .3em}table{border-collapse:collapse}td{padding:.2em 1em .2em 0;vertical-align:top}';

function renderPage(document: OpenApiDocument): string {
  const operations = Object.entries(document.paths).flatMap(([path, byMethod]) =>
    Object.entries(byMethod).map(([method, operation]) => ({ path, method, operation })),
  );
  const sections = (document.tags ?? []).map(({ name, description }) => {
    const own = operations.filter(({ operation }) => operation.tags?.includes(name) === true);
    return `<h2>${escape(name)}</h2><p>${escape(description ?? '')}</p>${own.map(renderOperation).join('')}`;
  });
  const { title, description = '' } = document.info;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)}</title><style>${style}</style><h1>${escape(title)}</h1><p>${escape(description)} <a href="openapi.json">openapi.json</a></p>${sections.join('')}</html>`;
}

function renderOperation(entry: {
  readonly path: string;
  readonly method: string;
  readonly operation: Operation;
}): string {
  const { path, method, operation } = entry;
  const parameters = (operation.parameters ?? []).map(
    ({ name, in: place, schema, description }) =>
      `<tr><td><code>${escape(name)}</code><td>${escape(place)}<td>${escape(description ?? schema?.description ?? '')}`,
  );
  const body = schemaOf(operation.requestBody?.content);
  const [status, success] =
    Object.entries(operation.responses ?? {}).find(([code]) => code.startsWith('2')) ?? [];
  const answer = schemaOf(success?.content);
  return [
    `<h3><code>${escape(method.toUpperCase())} ${escape(path)}</code> ${escape(operation.summary ?? '')}</h3>`,
    parameters.length === 0 ? '' : `<p>Parameters</p><table>${parameters.join('')}</table>`,
    body === undefined ? '' : `<p>Body</p>${renderSchema(body)}`,
    `<p>Answer ${escape(status ?? '')}</p>${answer === undefined ? '' : renderSchema(answer)}`,
  ].join('');
}

function schemaOf(
  content: Readonly<Record<string, { readonly schema?: Schema }>> | undefined,
): Schema | undefined {
  return Object.values(content ?? {})[0]?.schema;
}

function renderSchema(schema: Schema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const needed = schema.required?.includes(name) === true ? '' : ', optional';
    const inner = field.items ?? field;
    const nested = inner.properties === undefined ? '' : renderSchema(inner);
    const type = `${[field.type ?? ''].flat().join(' or ')}${needed}`;
    return `<tr><td><code>${escape(name)}</code><td>${escape(type)}<td>${escape(field.description ?? '')}${nested}`;
  });
  return `<table>${rows.join('')}</table>`;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
