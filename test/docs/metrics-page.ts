import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  /** Of them those that a process file must ask for. */
  readonly labels: readonly string[];
  readonly optionalLabels: readonly string[];
}

/** docs/metrics.md: the rows of its tables by the heading above them. */
export function readMetricsPage(): ReadonlyMap<string, readonly DocumentedMetric[]> {
  const text = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8');
  const sections = new Map<string, DocumentedMetric[]>();
  let section: DocumentedMetric[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) {
      section = [];
      sections.set(line.slice(3), section);
    }
    const [, name, type = '', labels = ''] =
      /^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) ?\| .+ \|$/.exec(line) ?? [];
    if (name === undefined) continue;
    const [always = '', optional = ''] = labels.split(/(?=`\w+` where )/);
    section.push({
      name,
      type,
      labels: wordsOf(always),
      optionalLabels: wordsOf(optional.split(' where ')[0] ?? ''),
    });
  }
  return sections;
}

function wordsOf(text: string): readonly string[] {
  return [...text.matchAll(/`(\w+)`/g)].map(([, word = '']) => word);
}
