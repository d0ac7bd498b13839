import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FollowedFile, type FollowedFileOptions, followFile } from '../../src/process/followed-file.ts';

let folder: string;
let path: string;
let told: string[];
let followed: FollowedFile | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'followed-'));
  path = join(folder, 'policy.yaml');
  told = [];
});

afterEach(async () => {
  followed?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Without the poll, unless a test is about it: what is told was told by an event. */
async function follow(options: Partial<FollowedFileOptions> = {}): Promise<void> {
  followed = followFile({
    path,
    text: 'one',
    onText: (text) => void told.push(text),
    onUnreadable: (code) => void told.push(`unreadable: ${code}`),
    quietMs: 20,
    pollMs: 3_600_000,
    ...options,
  });
  // The first look, with which the watches begin.
  await sleep(50);
}

const isTold = (...texts: readonly string[]) => expect.poll(() => told, { timeout: 2_000 }).toEqual(texts);

describe('a followed file', () => {
  it('tells of a content written in place, and of nothing before', async () => {
    await writeFile(path, 'one');
    await follow();
    expect(told).toEqual([]);
    await writeFile(path, 'two');
    await isTold('two');
  });

  it('is told of when it is replaced by rename, again and again', async () => {
    await writeFile(path, 'one');
    await follow();
    for (const text of ['two', 'three', 'four']) {
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
      await expect.poll(() => told.at(-1), { timeout: 2_000 }).toBe(text);
    }
    expect(told).toEqual(['two', 'three', 'four']);
  });

  it('is told of after sed -i', async () => {
    await writeFile(path, 'one');
    await follow();
    execFileSync('sed', ['-i', 's/one/two/', path]);
    await isTold('two');
    execFileSync('sed', ['-i', 's/two/three/', path]);
    await isTold('two', 'three');
  });

  it('is told of when an editor moves the old file away and writes a new one', async () => {
    await writeFile(path, 'one');
    await follow();
    await rename(path, `${path}~`);
    await writeFile(path, 'two');
    await isTold('two');
  });

  it('is told of when the symlink of a mounted ConfigMap is swapped, twice', async () => {
    const mount = async (version: string, text: string) => {
      await mkdir(join(folder, version));
      await writeFile(join(folder, version, 'policy.yaml'), text);
      await symlink(version, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await mount('..1', 'one');
    await symlink(join('..data', 'policy.yaml'), path);
    await follow();
    await mount('..2', 'two');
    await rm(join(folder, '..1'), { recursive: true });
    await isTold('two');
    await mount('..3', 'three');
    await rm(join(folder, '..2'), { recursive: true });
    await isTold('two', 'three');
  });

  it('is told of when what a symlink points at changes in its own folder', async () => {
    const elsewhere = join(folder, 'elsewhere');
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, 'policy.yaml'), 'one');
    await symlink(join(elsewhere, 'policy.yaml'), path);
    await follow();
    await writeFile(join(elsewhere, 'policy.yaml'), 'two');
    await isTold('two');
  });

  it('says nothing of a file that was touched, or of another one beside it', async () => {
    await writeFile(path, 'one');
    await follow();
    await utimes(path, new Date(), new Date());
    await writeFile(join(folder, 'other.yaml'), 'two');
    await sleep(150);
    expect(told).toEqual([]);
  });

  it('takes the last of many writes', async () => {
    await writeFile(path, 'one');
    await follow();
    for (let count = 0; count < 20; count += 1) await writeFile(path, `text ${count}`);
    await expect.poll(() => told.at(-1), { timeout: 2_000 }).toBe('text 19');
    expect(told.length).toBeLessThan(20);
  });

  it('tells once of a file that is gone, and of its return with the same content', async () => {
    await writeFile(path, 'one');
    await follow();
    await unlink(path);
    await isTold('unreadable: ENOENT');
    await writeFile(join(folder, 'other'), '');
    await sleep(300);
    await writeFile(path, 'one');
    await isTold('unreadable: ENOENT', 'one');
  });

  it('sees a change by its poll where no event tells of it', async () => {
    const mounted = join(folder, 'mounted');
    path = join(mounted, 'policy.yaml');
    await mkdir(mounted);
    await writeFile(path, 'one');
    await follow({ pollMs: 50 });
    // The folder itself is another one now, and nobody watches it.
    await rename(mounted, join(folder, 'old'));
    await mkdir(mounted);
    await writeFile(path, 'two');
    await expect.poll(() => told.at(-1), { timeout: 2_000 }).toBe('two');
  });

  it('tells nothing once it was stopped', async () => {
    await writeFile(path, 'one');
    await follow({ pollMs: 20 });
    followed?.stop();
    await writeFile(path, 'two');
    await sleep(100);
    expect(told).toEqual([]);
  });
});
