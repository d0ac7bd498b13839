import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';

export interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The files of `page/`, beside this module in the sources and in what is built of them, by the path they are asked for. */
export function readPageFiles(): ReadonlyMap<string, PageFile> {
  const folder = new URL('page/', import.meta.url);
  const files = new Map<string, PageFile>();
  for (const name of readdirSync(folder)) {
    const type = types[extname(name)];
    if (type === undefined) continue;
    files.set(name === 'index.html' ? '/' : `/${name}`, { type, bytes: readFileSync(new URL(name, folder)) });
  }
  return files;
}
