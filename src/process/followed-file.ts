import { type FSWatcher, watch } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FollowedFileOptions {
  readonly path: string;
  /** What was read before, if anything was: nothing is told until the file holds something else. */
  readonly text?: string;
  readonly onText: (text: string) => void;
  /** It can not be read, for longer than a replacement takes; told once until it can. `code` is Node's: `ENOENT`. */
  readonly onUnreadable: (code: string) => void;
  /** How long nothing must happen to the file before it is read, so that a writer gets done. Default 50 ms. */
  readonly quietMs?: number;
  /** The longest that a change goes unnoticed where no event tells of it, as on some network mounts. Default 5 s. */
  readonly pollMs?: number;
}

export interface FollowedFile {
  readonly stop: () => void;
}

/** A writer that never pauses is read all the same. */
const longestQuietFactor = 10;
/** Between an editor's removal of the old file and its new one. */
const replacementMs = 200;

/**
 * Tells of every change of a file's content. It watches the folders, never the file: whoever replaces a file by
 * rename (`mv`, `sed -i`, most editors) leaves the watch of the old one behind, and the kubelet changes a mounted
 * ConfigMap by renaming a symlink beside it. What counts is the content: a file that was only touched tells nothing.
 */
export function followFile(options: FollowedFileOptions): FollowedFile {
  const { path, onText, onUnreadable, quietMs = 50, pollMs = 5_000 } = options;
  const watcherByFolder = new Map<string, FSWatcher>();
  let last = options.text;
  let isUnreadable = false;
  let isStopped = false;
  let looking: Promise<void> = Promise.resolve();
  let quiet: NodeJS.Timeout | undefined;
  let waitingSinceMs: number | undefined;

  function changed(): void {
    if (isStopped) return;
    const nowMs = performance.now();
    waitingSinceMs ??= nowMs;
    if (quiet !== undefined && nowMs - waitingSinceMs > quietMs * longestQuietFactor) return;
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      quiet = undefined;
      waitingSinceMs = undefined;
      look();
    }, quietMs);
  }

  /** One after the other. */
  function look(): void {
    looking = looking.then(read);
  }

  async function read(): Promise<void> {
    if (isStopped) return;
    await watchFolders();
    const text = await readTwice();
    if (isStopped) return;
    if (typeof text === 'string') {
      if (text === last && !isUnreadable) return;
      last = text;
      isUnreadable = false;
      onText(text);
    } else if (!isUnreadable) {
      isUnreadable = true;
      onUnreadable(text.code);
    }
  }

  async function readTwice(): Promise<string | { readonly code: string }> {
    try {
      return await readFile(path, 'utf8');
    } catch {
      await sleep(replacementMs);
    }
    return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => ({
      code: error.code ?? 'unknown',
    }));
  }

  /** The file's own folder, and that of what it points at by now. */
  async function watchFolders(): Promise<void> {
    const target = await realpath(path).catch(() => path);
    const folders = new Set([dirname(path), dirname(target)]);
    for (const [folder, watcher] of watcherByFolder) {
      if (folders.has(folder)) continue;
      watcher.close();
      watcherByFolder.delete(folder);
    }
    for (const folder of folders) if (!isStopped && !watcherByFolder.has(folder)) watchFolder(folder);
  }

  function watchFolder(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, changed);
      // A folder that is gone, or no watches left: the next look tries again.
      watcher.on('error', () => {
        watcher.close();
        watcherByFolder.delete(folder);
      });
      watcherByFolder.set(folder, watcher);
    } catch {
      // The poll goes on.
    }
  }

  const poll = setInterval(look, pollMs).unref();
  look();
  return {
    stop() {
      isStopped = true;
      clearInterval(poll);
      clearTimeout(quiet);
      for (const watcher of watcherByFolder.values()) watcher.close();
      watcherByFolder.clear();
    },
  };
}
