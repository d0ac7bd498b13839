import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deployFolder } from './render.ts';

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(join(deployFolder, 'dashboards/tiergate.json'), 'utf8')) as Dashboard;
}

/** What it asks Prometheus, with values in the place of Grafana's own variables. */
export function expressionsOf({ panels, annotations }: Dashboard): readonly string[] {
  const asked = [...panels.flatMap(({ targets = [] }) => targets), ...annotations.list];
  return asked.map(({ expr }) =>
    expr.replaceAll('$__rate_interval', '5m').replaceAll('"$namespace"', '"tiergate"'),
  );
}
