import { z } from 'zod';
import { filePath, flag, label, listOf, network, tcpAddress, text, wholeNumber } from './config-fields.ts';

/** Section `issuer` of the process file: what only the token API reads. */
export const issuerSchema = z
  .strictObject({
    listeners: z
      .strictObject({
        http: z.strictObject({ address: tcpAddress.prefault('0.0.0.0:8080') }).prefault({}),
        ops: z.strictObject({ address: tcpAddress.prefault('0.0.0.0:8081') }).prefault({}),
      })
      .prefault({}),
    clusterAudience: text('an audience of the API server').default('https://kubernetes.default.svc'),
    maxTokensPerUser: wholeNumber(1, 10_000).default(50),
    mint: z.strictObject({ serviceAccounts: listOf(label).default([]) }).prefault({}),
    createNamespaces: flag().default(false),
    modelsFile: filePath.optional(),
    trustedProxies: listOf(network).default([]),
  })
  .prefault({});
