import { readFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os';

/** Where the figures come from, in words. The load is that of before the measurement: much above 0 and they mean little. */
export function describeMachine(): string {
  const [cpu] = cpus();
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  const [load = Number.NaN] = loadavg();
  return [
    `${cpus().length} x ${cpu?.model.trim() ?? 'unknown'} (${arch()})`,
    `${gibibytes} GiB`,
    `${systemName()}, ${type()} ${release()}`,
    `Node ${process.version}`,
    `load before: ${load.toFixed(1)}`,
  ].join('; ');
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown system';
  } catch {
    return 'unknown system';
  }
}
