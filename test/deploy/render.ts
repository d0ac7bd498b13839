import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { parse, parseAllDocuments } from 'yaml';
import type { Manifest } from '../real/apply-manifests.ts';
import { partDirectory } from '../real/part-directory.ts';

const run = promisify(execFile);

export const deployFolder: string = join(import.meta.dirname, '../../deploy');

export const chart: string = join(deployFolder, 'helm/tiergate');

/** An object of ours as far as tests look into it. */
export interface RenderedObject extends Manifest {
  readonly metadata: Manifest['metadata'] & {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

/** Of a text with one document for each. */
export function objectsOf(text: string): readonly RenderedObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as RenderedObject | null)
    .filter((object) => object !== null);
}

/** Every folder below deploy/ with a kustomization of this kind, relative to deploy/. */
export async function kustomizations(kind: 'Kustomization' | 'Component'): Promise<readonly string[]> {
  const files = await readdir(deployFolder, { recursive: true });
  const found: string[] = [];
  for (const file of files.filter((name) => name.endsWith('kustomization.yaml'))) {
    const { kind: its } = parse(await readFile(join(deployFolder, file), 'utf8')) as Manifest;
    if (its === kind) found.push(dirname(file));
  }
  return found.toSorted();
}

/** What `kubectl apply -k deploy/FOLDER` would apply. */
export async function kustomize(folder: string): Promise<readonly RenderedObject[]> {
  return objectsOf(await build(join(deployFolder, folder)));
}

/** A folder together with components, as an overlay of an installation's own has them. */
export function kustomizeWith(
  folder: string,
  components: readonly string[],
): Promise<readonly RenderedObject[]> {
  return kustomizeText(
    JSON.stringify({
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: [join(deployFolder, folder)],
      components: components.map((component) => join(deployFolder, component)),
    }),
  );
}

/** A kustomization in a folder of its own, with the files that it names; paths into deploy/ are absolute here. */
export async function kustomizeText(
  kustomization: string,
  files: Readonly<Record<string, string>> = {},
): Promise<readonly RenderedObject[]> {
  const overlay = await mkdtemp(join(tmpdir(), 'tiergate-overlay-'));
  try {
    // Kustomize takes folders by relative paths alone.
    const text = kustomization.replaceAll(deployFolder, relative(overlay, deployFolder));
    await writeFile(join(overlay, 'kustomization.yaml'), text);
    for (const [name, content] of Object.entries(files)) await writeFile(join(overlay, name), content);
    return objectsOf(await build(overlay));
  } finally {
    await rm(overlay, { recursive: true });
  }
}

async function build(folder: string): Promise<string> {
  const command = join(partDirectory('kustomize', 'KUSTOMIZE_VERSION'), 'kustomize');
  const { stdout } = await run(command, ['build', folder], { timeout: 60_000, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

/** Rejects with what helm said on standard error. Its own files are in a folder that is gone afterwards. */
export async function helm(args: readonly string[]): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'tiergate-helm-'));
  try {
    const command = join(partDirectory('helm', 'HELM_VERSION'), 'helm');
    const { stdout } = await run(command, args, {
      timeout: 60_000,
      maxBuffer: 16 * 1024 * 1024,
      env: { PATH: process.env['PATH'] ?? '', HOME: home },
    });
    return stdout;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** Writes values for helm to read, and gives them to `use` as arguments. */
export async function withValues<Result>(
  values: object,
  use: (args: readonly string[]) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'tiergate-values-'));
  try {
    const file = join(folder, 'values.json');
    await writeFile(file, JSON.stringify(values));
    return await use(['--values', file]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What `helm install tiergate` with these values would make. */
export async function helmTemplate(
  values: object = {},
  namespace = 'tiergate',
): Promise<readonly RenderedObject[]> {
  const text = await withValues(values, (args) =>
    helm(['template', 'tiergate', chart, '--namespace', namespace, ...args]),
  );
  return objectsOf(text);
}
