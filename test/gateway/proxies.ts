import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../real/free-port.ts';
import { findParts } from '../real/parts.ts';
import { type RunningProcess, startProcess } from '../real/running-process.ts';

export interface ProxyPorts {
  readonly authorizer: number;
  readonly issuer: number;
  readonly model: number;
}

export interface Proxy extends RunningProcess {
  readonly port: number;
}

/** The example of deploy/, with nothing changed but the addresses. */
async function exampleOf(path: string, port: number, ports: ProxyPorts): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../../deploy', path), 'utf8');
  const replaced = [
    ['tiergate-authorizer.tiergate.svc.cluster.local:9092', `127.0.0.1:${ports.authorizer}`],
    ['tiergate-issuer.tiergate.svc.cluster.local:8080', `127.0.0.1:${ports.issuer}`],
    ['models.llm.svc.cluster.local:8000', `127.0.0.1:${ports.model}`],
  ].reduce((done, [from = '', to = '']) => {
    if (!done.includes(from)) throw new Error(`${path} does not hold ${from}`);
    return done.replaceAll(from, to);
  }, text);
  return replaced
    .replace(/(?<=^ *listen )8000(?=;)/m, `127.0.0.1:${port}`)
    .replace(/^:8000 \{/m, `http://127.0.0.1:${port} {`);
}

const isListening = (port: number) => () =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

interface ProxyOptions {
  readonly name: string;
  /** In deploy/. */
  readonly example: string;
  readonly command: (folder: string, file: string) => readonly [command: string, args: readonly string[]];
  /** What an installation has by its package. */
  readonly edit?: (text: string, folder: string) => string;
}

async function startProxy(ports: ProxyPorts, options: ProxyOptions): Promise<Proxy> {
  const { name, example, edit = (text) => text } = options;
  const folder = await mkdtemp(join(tmpdir(), `tiergate-${name}-`));
  const port = await freePort();
  const file = join(folder, name);
  await writeFile(file, edit(await exampleOf(example, port, ports), folder));
  const [command, args] = options.command(folder, file);
  const running = await startProcess({
    name,
    command,
    args,
    env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
    isReady: isListening(port),
  });
  return {
    ...running,
    port,
    async stop() {
      await running.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function startNginx(ports: ProxyPorts): Promise<Proxy> {
  return startProxy(ports, {
    name: 'nginx',
    example: 'nginx/nginx.conf',
    command: (folder, file) => {
      const own = `pid ${folder}/pid; error_log stderr warn; daemon off; master_process off;`;
      return [findParts().nginx, ['-p', folder, '-c', file, '-g', own]];
    },
    // Debian's places for bodies are root's.
    edit: (text, folder) =>
      text.replace(
        /^http \{$/m,
        ['http {', ...temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`)].join('\n'),
      ),
  });
}

const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];

export function startCaddy(ports: ProxyPorts): Promise<Proxy> {
  return startProxy(ports, {
    name: 'caddy',
    example: 'caddy/Caddyfile',
    command: (_folder, file) => [findParts().caddy, ['run', '--config', file, '--adapter', 'caddyfile']],
  });
}
