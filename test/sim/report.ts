/** An outcome for a terminal: a table, three small plots over time, and the bounds. Pure text. */
import { MAX_WEIGHTS } from './fleet.ts';
import { FIRST_FAULT_MS, lastFaultEndMs } from './scenarios.ts';
import { type Outcome, sum } from './outcome.ts';

const BARS = ' ▁▂▃▄▅▆▇█';
const COLUMNS = 72;

export function renderOutcome(outcome: Outcome): string {
  const { scenario } = outcome;
  return [
    `${scenario.name}: ${scenario.what}`,
    ...table(outcome),
    ...plots(outcome),
    ...outcome.bounds().map(({ what, value, limit, kept }) => {
      return `  ${kept ? 'ok  ' : 'FAIL'} ${what}: ${number(value)} (at most ${number(limit)})`;
    }),
    '',
  ].join('\n');
}

function table(outcome: Outcome): string[] {
  const total = sum(outcome.onPath);
  const shares = MAX_WEIGHTS.map((weight, index) => {
    return `${String(weight)}: ${((outcome.onPath[index]! / total) * 100).toFixed(1)} %`;
  });
  const settled = (outcome.lastSwitchMs - lastFaultEndMs(outcome.scenario)) / 1000;
  const rows: readonly (readonly [string, string])[] = [
    ['failovers', `${number(sum(outcome.failovers))}, peak ${number(outcome.peakFailovers)}/s`],
    ['failbacks', `${number(sum(outcome.failbacks))}, peak ${number(outcome.peakFailbacks)}/s`],
    ...(outcome.leftSlowPath > 0
      ? [['left a slow path', number(outcome.leftSlowPath)] as const]
      : []),
    ['worst rack', `${outcome.worstLoad.toFixed(2)} times its load at rest`],
    ['time on paths of', shares.join(', ')],
    ['last switch', `${number(settled)} s after the last fault`],
  ];
  return rows.map(([name, text]) => `  ${name.padEnd(18)}${text}`);
}

/** From a little before the first fault to a little after the last switch. */
function plots(outcome: Outcome): string[] {
  const from = FIRST_FAULT_MS / 1000 - 20;
  const to = Math.min(outcome.seconds, Math.ceil(outcome.lastSwitchMs / 1000) + 20);
  const row = (name: string, values: Float64Array): string => {
    const columns = Array.from({ length: COLUMNS }, (_, column) => {
      const [first, last] = [column, column + 1].map((edge) =>
        Math.floor(from + ((to - from) * edge) / COLUMNS),
      ) as [number, number];
      return Math.max(0, ...values.subarray(first, Math.max(last, first + 1)));
    });
    const most = Math.max(...columns);
    return `  ${name.padEnd(12)}${bars(columns, most)} ${number(most)}`;
  };
  return [
    row('failovers/s', outcome.failovers),
    row('failbacks/s', outcome.failbacks),
    row('away', outcome.away),
    `  ${''.padEnd(12)}${`${String(from)} s`.padEnd(COLUMNS - 8)}${`${String(to)} s`.padStart(8)}`,
  ];
}

function bars(values: readonly number[], most: number): string {
  return values
    .map((value) => BARS[value === 0 ? 0 : Math.max(1, Math.round((value / most) * 8))])
    .join('');
}

function number(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en') : value.toFixed(2);
}
