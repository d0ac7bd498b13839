import { once } from 'node:events';
import { chmod, link, mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bindListener } from '../src/bind-listener.ts';

/** What stands in a socket's way, for both doors: they bind by the same function. */
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tiergate-sockets-'));
});

afterAll(() => rm(folder, { recursive: true }));

async function serve(path: string, word: string, mode = 0o660) {
  const server = createHttpServer((_request, response) => void response.end(word));
  await bindListener(server, `unix:${path}`, { mode });
  return { stop: () => new Promise((resolve) => void server.close(resolve)) };
}

function ask(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/', agent: false }, (response) => {
      response.setEncoding('utf8').once('data', resolve);
    })
      .once('error', reject)
      .end();
  });
}

/** Node removes its socket when it closes, so that only a process that died leaves one. */
async function leaveSocketBehind(path: string): Promise<void> {
  const listener = createServer().listen(path);
  await once(listener, 'listening');
  await link(path, `${path}.kept`);
  listener.close();
  await once(listener, 'close');
  await rename(`${path}.kept`, path);
}

describe('a socket', () => {
  it('has the mode that was asked for, and is gone when its door is', async () => {
    const path = join(folder, 'mode.sock');
    const { stop } = await serve(path, 'one', 0o600);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await ask(path)).toBe('one');
    await stop();
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  it('that a killed process left is replaced, and nothing stays beside it', async () => {
    const path = join(folder, 'stale', 'a.sock');
    await mkdir(join(folder, 'stale'));
    await leaveSocketBehind(path);
    const { stop } = await serve(path, 'next');
    expect(await ask(path)).toBe('next');
    await stop();
    expect(await readdir(join(folder, 'stale'))).toEqual([]);
  });

  it('that somebody listens on is theirs, and stays so', async () => {
    const path = join(folder, 'taken.sock');
    const { stop } = await serve(path, 'first');
    await expect(serve(path, 'second')).rejects.toMatchObject({ code: 'EADDRINUSE', syscall: 'listen' });
    expect(await ask(path)).toBe('first');
    await stop();
  });

  it('that is stale goes to one of many that want it at once; the others are told', async () => {
    for (let round = 0; round < 20; round += 1) {
      const path = join(folder, `race-${round}.sock`);
      await leaveSocketBehind(path);
      const words = Array.from({ length: 6 }, (_, at) => `door ${at}`);
      const tries = await Promise.allSettled(words.map((word) => serve(path, word)));
      const won = tries.flatMap((one, at) =>
        one.status === 'fulfilled' ? [{ ...one.value, word: words[at] }] : [],
      );
      expect(won).toHaveLength(1);
      for (const one of tries) {
        if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'EADDRINUSE' });
      }
      expect(await ask(path)).toBe(won[0]?.word);
      await won[0]?.stop();
    }
  });

  it('that is stale is had even where the last process was killed while it took one', async () => {
    const path = join(folder, 'killed.sock');
    await leaveSocketBehind(path);
    await mkdir(`${path}.turn`);
    const longAgo = new Date(Date.now() - 60_000);
    await utimes(`${path}.turn`, longAgo, longAgo);
    const { stop } = await serve(path, 'next');
    expect(await ask(path)).toBe('next');
    await stop();
    await expect(stat(`${path}.turn`)).rejects.toThrow('ENOENT');
  });

  it('can not be where another file is, or where there is no folder', async () => {
    const file = join(folder, 'precious');
    await writeFile(file, 'text');
    await expect(serve(file, 'x')).rejects.toMatchObject({ code: 'ENOTSOCK' });
    expect((await stat(file)).size).toBe(4);
    await expect(serve(join(folder, 'nowhere', 'a.sock'), 'x')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('can not be given to somebody else by who is not root', async () => {
    const path = join(folder, 'owned.sock');
    const server = createHttpServer();
    const owner = { uid: 12_345, gid: 54_321 };
    const bound = bindListener(server, `unix:${path}`, { mode: 0o660, owner });
    if (process.getuid?.() === 0) {
      await bound;
      expect(await stat(path)).toMatchObject(owner);
      server.close();
    } else {
      await expect(bound).rejects.toMatchObject({ code: 'EPERM' });
    }
  });

  it('needs a folder that its process may write to', async () => {
    if (process.getuid?.() === 0) return;
    const closed = join(folder, 'closed');
    await mkdir(closed);
    await chmod(closed, 0o500);
    await expect(serve(join(closed, 'a.sock'), 'x')).rejects.toMatchObject({ code: 'EACCES' });
  });
});
