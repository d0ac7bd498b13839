import { existsSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf, type Document, documents, proseOf, root } from './documents.ts';

interface Link {
  readonly from: string;
  readonly target: string;
}

function linksOf(document: Document): readonly Link[] {
  const prose = proseOf(document).replaceAll(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^()\s]+)\)/g)].map(([, target = '']) => ({ from: document.path, target }));
}

/** The anchors that GitHub makes of headings: lower case, no punctuation, dashes for blanks; a second one gets -1. */
function anchorsOf(document: Document): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of proseOf(document).matchAll(/^#{1,6} (.+)$/gm)) {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = words.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-');
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again += 1) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  return anchors;
}

const byPath = new Map(documents.map((document) => [document.path, document]));
const links = documents.flatMap(linksOf);

/** Written by a command (`npm run bench`): there once it has run. */
const made = new Set(['bench/RESULTS.md']);

/** Why a link leads nowhere; undefined where it leads somewhere, or out of the repository. */
function fault({ from, target }: Link): string | undefined {
  if (/^[a-z]+:/.test(target)) return undefined;
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? from : relative(root, resolve(root, dirname(from), path));
  if (made.has(file) && !existsSync(join(root, file))) return undefined;
  if (file.startsWith('..') || !existsSync(join(root, file))) return `${from}: there is no ${target}`;
  if (anchor === undefined) return undefined;
  const document = byPath.get(file);
  const isThere = document === undefined ? false : anchorsOf(document).has(anchor);
  return isThere ? undefined : `${from}: no heading of ${file} makes #${anchor}`;
}

describe('the documents', () => {
  it('link to files and headings that are there', () => {
    expect(links.filter(({ target }) => !target.includes(':')).length).toBeGreaterThan(100);
    expect(links.map(fault).filter((found) => found !== undefined)).toEqual([]);
  });

  it('would be found out by a link to nowhere', () => {
    const nowhere = ['docs/nothing.md', 'docs/security.md#nothing', '#nothing', '../elsewhere.md'];
    const found = nowhere.map((target) => fault({ from: 'README.md', target }));
    expect(found.every((words) => words !== undefined)).toBe(true);
    expect(fault({ from: 'README.md', target: 'docs/security.md#revocation' })).toBeUndefined();
  });

  it.each(['docs', 'docs/adr', 'docs/runbooks'])('are all in the index of %s', (folder) => {
    const index = byPath.get(join(folder, 'README.md'));
    if (index === undefined) throw new Error(`${folder} has no README.md`);
    const linked = new Set(linksOf(index).map(({ target }) => join(folder, target.split('#')[0] ?? '')));
    const pages = documents.map(({ path }) => path).filter((path) => dirname(path) === folder);
    expect(pages.length).toBeGreaterThan(10);
    expect(pages.filter((path) => path !== index.path && !linked.has(path))).toEqual([]);
  });

  it('name files of the repository that are there', () => {
    const named = documents
      .filter(({ path }) => path !== 'CHANGELOG.md' && !path.startsWith('docs/adr/'))
      .flatMap((document) =>
        codeOf(document)
          // In capitals: a place for a name.
          .filter(
            (word) =>
              /^(?:src|test|deploy|docs|bench|protos)\/[\w./-]+$/.test(word) && !/[A-Z]{4}/.test(word),
          )
          .map((path) => ({ from: document.path, path })),
      );
    expect(named.length).toBeGreaterThan(80);
    expect(named.filter(({ path }) => !existsSync(join(root, path)))).toEqual([]);
  });
});
