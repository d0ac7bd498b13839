import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Installation, startInstallation } from './installation.ts';
import { chat, denial, outcome } from './send.ts';

/** The HTTP door on a Unix socket, with a real Envoy and authorizers that are killed, doubled and misled. */
let installation: Installation;
let folder: string;
let path: string;

beforeAll(async () => {
  installation = await startInstallation();
  folder = await mkdtemp(join(tmpdir(), 'tiergate-sockets-'));
  path = join(folder, 'http.sock');
});

afterAll(async () => {
  await installation.stop();
  await rm(folder, { recursive: true });
});

const start = (socket: string, more = '') =>
  installation.startAuthorizer({ http: `profile: envoy${more}`, httpAddress: `unix:${socket}` });

const why = (socket: string): Promise<string> =>
  start(socket).then(
    () => 'it started',
    (error: unknown) => String(error),
  );

it('goes on after SIGKILL with the next authorizer, and is nobody else’s meanwhile', async () => {
  const token = await installation.mint('alice', 'enterprise');
  const first = await start(path, ', socket: {mode: "0600"}');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const envoy = await installation.startGateway(first, {
    httpDoor: { path },
    allowedHeaders: ['authorization'],
  });
  expect((await chat(envoy.port, token)).status).toBe(200);
  expect(outcome(await chat(envoy.port, undefined))).toEqual(denial(401, 'credential_missing'));

  // A second one on the same path is told, ends, and the first goes on.
  expect(await why(path)).toContain(`${path} is taken: another program listens there`);
  expect((await chat(envoy.port, token)).status).toBe(200);
  first.pause();
  expect(await why(path)).toContain(`${path} is taken: another program listens there`);
  first.resume();

  await first.kill();
  expect((await stat(path)).isSocket()).toBe(true);
  const next = await start(path);
  await expect.poll(async () => (await chat(envoy.port, token)).status).toBe(200);
  await next.stop();
  await expect(stat(path)).rejects.toThrow('ENOENT');
});

it('says what is in its way, and leaves it there', async () => {
  const file = join(folder, 'precious');
  await writeFile(file, 'text');
  expect(await why(file)).toContain(`${file} is there already, and is no socket`);
  expect((await stat(file)).size).toBe(4);
  const nowhere = join(folder, 'nowhere', 'http.sock');
  expect(await why(nowhere)).toContain(`${nowhere} can not be listened on: its folder is not there`);
});
