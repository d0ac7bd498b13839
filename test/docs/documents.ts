import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '../..');

export interface Document {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
}

/** Everything that is written for people: README.md, CONTRIBUTING.md, CHANGELOG.md, and what is below docs/, bench/ and deploy/. */
export const documents: readonly Document[] = ['', 'docs', 'bench', 'deploy']
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: folder !== '', encoding: 'utf8' }).map((name) =>
      join(folder, name),
    ),
  )
  .filter((path) => path.endsWith('.md'))
  .sort()
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

/** Without the blocks of code, whose brackets and hashes are no links and no headings. */
export function proseOf({ text }: Document): string {
  return text.replaceAll(/^([ \t]*)```[\s\S]*?^\1```/gm, '');
}

/** What is set as code: whole blocks, and words between backticks. */
export function codeOf({ text }: Document): readonly string[] {
  const blocks = [...text.matchAll(/^[ \t]*```.*\n([\s\S]*?)^[ \t]*```/gm)].map(([, block = '']) => block);
  const words = [...text.replaceAll(/^([ \t]*)```[\s\S]*?^\1```/gm, '').matchAll(/`([^`\n]+)`/g)];
  return [...blocks, ...words.map(([, word = '']) => word)];
}
