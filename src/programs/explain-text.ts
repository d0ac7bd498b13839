import type {
  ExplainedStage,
  ExplainedWindow,
  Explanation,
  Source,
  StageVerdict,
} from '../check/explanation.ts';
import { formatDuration } from '../duration.ts';

const marks: Readonly<Record<StageVerdict, string>> = {
  passed: 'ok',
  denied: 'NO',
  couldNotTell: '??',
  unknown: '?',
  notReached: '-',
};

/** An explanation for a terminal, a line each. */
export function explanationLines(explanation: Explanation): readonly string[] {
  const { verdict, status, reason, message, request, stages, windows } = explanation;
  const { subject, tier, model } = explanation;
  const head = [verdict, status, reason].filter((word) => word !== undefined).join(' ');
  const known = [subject, tier && `tier ${tier}`, model && `model ${model}`].filter(Boolean).join(', ');
  return [
    `${head}: ${request.method} ${request.path}`,
    ...(known === '' ? [] : [known]),
    ...(message === undefined ? [] : [`the client is told: ${message}`]),
    '',
    ...stages.filter((stage) => stage.verdict !== 'notReached').flatMap(stageLines),
    ...notReached(stages),
    ...(windows.length === 0 ? [] : ['', ...windows.map(windowLine)]),
    ...(verdict === 'unknown'
      ? ['', 'Nothing that could be looked at denies it; ? needs a running authorizer.']
      : []),
  ];
}

function notReached(stages: readonly ExplainedStage[]): readonly string[] {
  const names = stages.filter(({ verdict }) => verdict === 'notReached').map(({ stage }) => stage);
  return names.length === 0 ? [] : [`-  not looked at, since the way ended before: ${names.join(', ')}`];
}

function stageLines({ stage, verdict, says, source, change }: ExplainedStage): readonly string[] {
  const from = source === undefined ? '' : ` [${sourceWords(source)}]`;
  return [
    `${marks[verdict].padEnd(3)}${stage.padEnd(11)} ${says}${from}`,
    ...(change === undefined ? [] : [`${' '.repeat(15)}What would change it: ${change}`]),
  ];
}

const sourceNames: Readonly<Record<Source['kind'], string>> = {
  request: 'the request',
  question: 'the question',
  configuration: 'the route’s configuration',
  cache: 'remembered',
  staleCache: 'remembered beyond its time, since nobody can tell anew',
  apiServer: 'the API server, now',
  watch: 'the watched objects',
  policy: 'the policy document',
  counters: 'the counters, now',
};

function sourceWords({ kind, ageMs, endsInMs, line }: Source): string {
  return [
    `${sourceNames[kind]}${line === undefined ? '' : `, line ${line}`}`,
    ...(ageMs === undefined ? [] : [`${seconds(ageMs)} old`]),
    ...(endsInMs === undefined ? [] : [`for ${seconds(endsInMs)} more`]),
  ].join(', ');
}

function windowLine(window: ExplainedWindow): string {
  const { scope, unit, windowMs, mode, limit, remaining, needed, resetAfterMs = 0, line } = window;
  const left = remaining === undefined ? `${limit}` : `${remaining} of ${limit}`;
  const words = [
    `${left} ${unit} in ${formatDuration(windowMs)}${remaining === undefined ? '' : ' left'}`,
    ...(scope === '*' ? [] : [`for ${scope}`]),
    ...(mode === 'shadow' ? ['shadow'] : []),
    ...(window.exceeded === true
      ? [remaining === 0 ? 'full' : `too few for the ${needed} that it takes`]
      : []),
    ...(resetAfterMs > 0 ? [`whole again in ${seconds(resetAfterMs)}`] : []),
    ...(line === undefined ? [] : [`line ${line}`]),
  ];
  return `   window      ${words.join(', ')}`;
}

/** As `formatDuration`, rounded up to seconds. */
function seconds(durationMs: number): string {
  return formatDuration(Math.ceil(durationMs / 1000) * 1000);
}
