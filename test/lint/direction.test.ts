import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mayImport, ownersOf } from './layers.ts';

const root = join(import.meta.dirname, '../..');
const folders = Object.keys(mayImport);

interface Plant {
  /** Of src/; empty for src/ itself. */
  readonly folder: string;
  readonly specifier: string;
  /** Default: a file of a name that says nothing. */
  readonly name?: string;
  /** Default: `import type`. */
  readonly text?: string;
}

describe('the linter', () => {
  let tree: string;
  let planted = 0;
  /** How many imports of a file the linter refused, in the last run. */
  const flagged = new Map<string, number>();

  beforeAll(() => {
    tree = mkdtempSync(join(tmpdir(), 'tiergate-lint-'));
    copyFileSync(join(root, '.oxlintrc.json'), join(tree, '.oxlintrc.json'));
  });

  afterAll(() => {
    rmSync(tree, { recursive: true, force: true });
  });

  /** Those of the plants that the linter refuses for their import, in one run. */
  function refused(plants: readonly Plant[]): readonly Plant[] {
    const pathOf = new Map<Plant, string>();
    for (const plant of plants) {
      planted += 1;
      const { folder, specifier, name = `planted-${planted}`, text } = plant;
      const path = join('src', folder, `${name}.ts`);
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(
        join(tree, path),
        text ?? `import type { Thing } from '${specifier}';\n\nexport type Other = Thing;\n`,
      );
      pathOf.set(plant, path);
    }
    const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
    const run = spawnSync(
      process.execPath,
      [oxlint, '-c', '.oxlintrc.json', '--deny-warnings', '--format', 'json', 'src'],
      { cwd: tree, encoding: 'utf8', maxBuffer: 1e8 },
    );
    const report = JSON.parse(run.stdout) as {
      readonly diagnostics: readonly { readonly code: string; readonly filename: string }[];
    };
    flagged.clear();
    for (const { code, filename } of report.diagnostics)
      if (code === 'eslint(no-restricted-imports)') flagged.set(filename, (flagged.get(filename) ?? 0) + 1);
    expect(run.status === 0).toBe(report.diagnostics.length === 0);
    rmSync(join(tree, 'src'), { recursive: true });
    return plants.filter((plant) => flagged.has(pathOf.get(plant) ?? ''));
  }

  const words = ({ folder, specifier }: Plant) => `${folder || 'src'} imports ${specifier}`;

  it('refuses every import against the direction, and none along it', () => {
    const plants = folders.flatMap((folder) => [
      ...folders
        .filter((target) => target !== folder)
        .map((target) => ({ folder, specifier: `../${target}/thing.ts`, target })),
      { folder, specifier: '../main.ts', target: 'main' },
      { folder, specifier: '../secret.ts', target: folder },
    ]);
    const against = plants.filter(
      ({ folder, target }) => target !== folder && mayImport[folder]?.includes(target) !== true,
    );
    expect(against.length).toBeGreaterThan(100);
    expect(refused(plants).map(words)).toEqual(against.map(words));
  });

  it('refuses every folder to the files beside them', () => {
    const plants = folders.map((target) => ({ folder: '', specifier: `./${target}/thing.ts` }));
    expect(refused(plants)).toEqual(plants);
  });

  it('refuses every folder but the programs to main', () => {
    const mains = folders.map((target) => ({ target, specifier: `./${target}/thing.ts` }));
    const text = mains.map(({ specifier }) => `import '${specifier}';\n`).join('');
    refused([{ folder: '', specifier: 'all', name: 'main', text }]);
    expect(flagged.get('src/main.ts')).toBe(folders.length - 1);
    const programs = {
      folder: '',
      specifier: 'programs',
      name: 'main',
      text: "import './programs/thing.ts';\n",
    };
    expect(refused([programs])).toEqual([]);
  });

  it('refuses it however it is written', () => {
    const specifier = '../programs/thing.ts';
    const plants = [
      `import { thing } from '${specifier}';\n\nexport const other = thing;\n`,
      `export { thing } from '${specifier}';\n`,
      `export * from '${specifier}';\n`,
      `import '${specifier}';\n`,
      `export const other = async () => await import('${specifier}');\n`,
      `import { thing } from '../../src/programs/thing.ts';\n\nexport const other = thing;\n`,
    ].map((text) => ({ folder: 'check', specifier, text }));
    expect(refused(plants)).toEqual(plants);
  });

  it('refuses a library outside its folder, and not inside', () => {
    const plants = Object.keys(ownersOf).flatMap((library) =>
      ['', ...folders].map((folder) => ({ folder, specifier: library })),
    );
    const foreign = plants.filter(({ folder, specifier }) => ownersOf[specifier]?.includes(folder) !== true);
    expect(refused(plants).map(words)).toEqual(foreign.map(words));
  });

  it('is told of every library that is shipped', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    expect(Object.keys(ownersOf).sort()).toEqual(Object.keys(dependencies).sort());
  });
});

describe('the sources', () => {
  const source = join(root, 'src');
  const architecture = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  const folderOf = (path: string) => (path.includes('/') ? (path.split('/')[0] ?? '') : '');

  /** Every specifier in a file: static, re-exported, dynamic, in types. */
  function importsOf(path: string): readonly string[] {
    const text = readFileSync(join(source, path), 'utf8');
    return [...text.matchAll(/(?:(?<!\.)\bfrom|\bimport)\s*\(?\s*'([^'\s]+)'/g)].map(
      ([, specifier = '']) => specifier,
    );
  }

  it('import along the direction only, whatever the linter says', () => {
    const against = files.flatMap((path) =>
      importsOf(path)
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => relative(source, resolve(source, dirname(path), specifier)))
        .filter((target) => {
          const [from, to] = [folderOf(path), folderOf(target)];
          if (to === from || (to === '' && target !== 'main.ts')) return false;
          return from === ''
            ? !(path === 'main.ts' && to === 'programs')
            : mayImport[from]?.includes(to) !== true;
        })
        .map((target) => `${path} imports ${target}`),
    );
    expect(against).toEqual([]);
  });

  it('import each library in its folder only', () => {
    const foreign = files.flatMap((path) =>
      importsOf(path)
        .filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
        .map((specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'))
        .filter((library) => ownersOf[library]?.includes(folderOf(path)) !== true)
        .map((library) => `${path} imports ${library}`),
    );
    expect(foreign).toEqual([]);
  });

  it('are in the folders that docs/architecture.md tells of, and those are there', () => {
    const told = [...architecture.matchAll(/^\| `src\/([a-z-]+)\/`/gm)].map(([, name]) => name);
    const there = readdirSync(source, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && readdirSync(join(source, entry.name)).length > 0)
      .map(({ name }) => name);
    expect(new Set(told)).toEqual(new Set(there));
    expect(folders).toEqual(expect.arrayContaining(there));
  });

  it('hold the request\u2019s way under the names that it is told by', () => {
    const line = /^`CheckRequest → route → (.+) → Outcome → CheckResponse`$/m.exec(architecture)?.[1];
    const stages = line?.split(' → ') ?? [];
    expect(stages.length).toBeGreaterThan(6);
    for (const stage of stages) expect(files).toContain(`check/${stage}.ts`);
    const way = readFileSync(join(source, 'check/check.ts'), 'utf8');
    expect(way).toContain(` * The request's way: ${stages.join(', ')}.\n`);
  });
});
