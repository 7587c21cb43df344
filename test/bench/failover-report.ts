/**
 * What `bench:failover` found, judged and written. Pure.
 *
 * The bounds are those of D63 for each event; the moonshot is printed beside them and not
 * asserted. Time that the machine took from the product (starvation.ts) is taken off a gap before it is
 * held against the bound; the figures printed are as measured.
 */

/** No reason to leave a path. */
export type CalmName = 'slow-writes' | 'packet-loss' | 'hiccups' | 'swallowed';
export type EventName =
  'kill' | 'sigstop' | 'black-hole' | 'hung-backend' | 'brown-out' | 'failback' | CalmName;

interface Limits {
  /** 99 of 100 gaps are shorter, ms; undefined: only data and errors count. */
  readonly boundMs: number | undefined;
  readonly moonshotMs: number | undefined;
  readonly what: string;
  /** Nothing may be switched. */
  readonly stays?: true;
}

/** Fence of a sample that was not switched. */
const STAYS = 'stays';

export const EVENTS: Readonly<Record<EventName, Limits>> = {
  kill: { boundMs: 300, moonshotMs: 50, what: 'SIGKILL of the target in use' },
  sigstop: { boundMs: 1500, moonshotMs: 1500, what: 'SIGSTOP of the target in use' },
  'black-hole': { boundMs: 1500, moonshotMs: 1500, what: 'its link loses every packet' },
  'hung-backend': {
    boundMs: 3200,
    moonshotMs: undefined,
    what: 'its front end answers, its storage takes nothing',
  },
  'brown-out': {
    boundMs: undefined,
    moonshotMs: undefined,
    what: 'its storage takes 80 ms for everything',
  },
  failback: { boundMs: 50, moonshotMs: undefined, what: 'home again after a kill' },
  'slow-writes': {
    boundMs: undefined,
    moonshotMs: undefined,
    what: 'writes take 2 s on every path: nothing is switched',
    stays: true,
  },
  'packet-loss': {
    boundMs: undefined,
    moonshotMs: undefined,
    what: 'every link loses 0.5 % of its packets: nothing is switched',
    stays: true,
  },
  hiccups: {
    boundMs: undefined,
    moonshotMs: undefined,
    what: 'links lose everything for 300 ms: nothing is switched',
    stays: true,
  },
  // command-timeout, and a look a second.
  swallowed: {
    boundMs: 32_000,
    moonshotMs: undefined,
    what: 'the target swallows one write and answers others',
    stays: true,
  },
};

export const EVENT_NAMES = Object.keys(EVENTS) as EventName[];

/** One event of one volume. */
export interface Sample {
  readonly gapMs: number;
  /** What the product and the load waited for a processor meanwhile, ms. */
  readonly starvedMs: number;
  readonly replayed: number;
  readonly fence: string;
}

/** What was found wrong with the data of a row's volumes; all must be 0. */
export interface Damage {
  readonly ioErrors: number;
  readonly lost: number;
  readonly stale: number;
  readonly torn: number;
}

export interface Row extends Damage {
  readonly name: EventName;
  readonly events: number;
  readonly gapMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** The p99 less the time that the machine took. */
  readonly p99OursMs: number;
  readonly replayed: number;
  /** The rungs used, each with its number of events. */
  readonly fence: string;
  readonly boundMs: number | null;
  readonly moonshotMs: number | null;
  readonly kept: boolean;
}

/** Nearest rank: the smallest value that `percent` of all values do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? NaN;
}

const tenth = (value: number): number => Math.round(value * 10) / 10;

export function makeRow(name: EventName, samples: readonly Sample[], damage: Damage): Row {
  const { boundMs, moonshotMs, stays } = EVENTS[name];
  const gaps = samples.map(({ gapMs }) => gapMs);
  const ours = samples.map(({ gapMs, starvedMs }) => Math.max(0, gapMs - starvedMs));
  const p99OursMs = tenth(percentile(ours, 99));
  const whole = Object.values(damage).every((count) => count === 0);
  const hasStayed = stays === undefined || samples.every(({ fence }) => fence === STAYS);
  return {
    name,
    events: samples.length,
    gapMs: {
      p50: tenth(percentile(gaps, 50)),
      p99: tenth(percentile(gaps, 99)),
      max: tenth(Math.max(...gaps)),
    },
    ...damage,
    p99OursMs,
    replayed: samples.reduce((sum, { replayed }) => sum + replayed, 0),
    fence: fences(samples),
    boundMs: boundMs ?? null,
    moonshotMs: moonshotMs ?? null,
    // A row without events shows nothing, and NaN is below no bound.
    kept:
      whole && hasStayed && samples.length > 0 && (boundMs === undefined || p99OursMs <= boundMs),
  };
}

/** "gone 20, not-needed 4". */
function fences(samples: readonly Sample[]): string {
  const counts = new Map<string, number>();
  for (const { fence } of samples) counts.set(fence, (counts.get(fence) ?? 0) + 1);
  return [...counts].map(([fence, count]) => `${fence} ${String(count)}`).join(', ');
}

/** What the peer did of one kind of event. */
export interface PeerRow extends Damage {
  readonly name: EventName;
  readonly events: number;
  readonly gapMs: { readonly p50: number; readonly max: number };
  /** Whether I/O went on before the fault was over, each time. */
  readonly survived: boolean;
  readonly note: string;
}

export interface Footprint {
  readonly processes: string;
  readonly connections: string;
}

export interface Outcome {
  readonly machine: string;
  readonly policy: string;
  readonly fencing: string;
  readonly volumes: number;
  readonly rows: readonly Row[];
  readonly ours: Footprint | undefined;
  readonly peerRows: readonly PeerRow[];
  readonly peer: Footprint | undefined;
}

export function allKept({ rows }: Outcome): boolean {
  return rows.every(({ kept }) => kept);
}

export function toJson(outcome: Outcome): string {
  return JSON.stringify({ ...outcome, kept: allKept(outcome) }, undefined, 2);
}

/** "41 ms", "1.24 s". */
function ms(value: number): string {
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(0)} ms`;
}

function limit(value: number | null): string {
  return value === null ? '-' : ms(value);
}

function line(cells: readonly string[]): string {
  const widths = [14, 7, 9, 9, 9, 9, 10, 8, 18, 9];
  return cells
    .map((cell, at) => (at === 0 ? cell.padEnd(14) : cell.padStart(widths[at] ?? 0)))
    .join('')
    .trimEnd();
}

const damageText = (row: Damage): string =>
  [row.ioErrors, row.lost, row.stale, row.torn].map(String).join(' / ');

export function rowText(row: Row): string {
  const { p50, p99, max } = row.gapMs;
  const figures = [p50, p99, max].map(ms);
  const limits = [limit(row.boundMs), limit(row.moonshotMs)];
  const verdict = row.kept ? 'kept' : 'MISSED';
  const text = line([
    ...[row.name, String(row.events), ...figures, ...limits, verdict],
    ...[damageText(row), String(row.replayed)],
  ]);
  const off = row.p99OursMs < p99 ? `; p99 without starvation ${ms(row.p99OursMs)}` : '';
  return `${text}  ${row.fence}${off}`;
}

export function head(): string {
  return `${line([
    ...['I/O gap', 'events', 'p50', 'p99', 'max', 'bound', 'moonshot', ''],
    ...['err/lost/stale/torn', 'replayed'],
  ])}  fence`;
}

export function peerText(row: PeerRow): string {
  const gaps = Number.isNaN(row.gapMs.p50) ? ['-', '-'] : [ms(row.gapMs.p50), ms(row.gapMs.max)];
  const [p50 = '', max = ''] = gaps;
  const cells = [row.name, String(row.events), p50, '', max, '', '', '', damageText(row)];
  return `${line(cells)}  ${row.note}`.trimEnd();
}

/** The table for people. */
export function render(outcome: Outcome): string {
  const { machine, policy, fencing, volumes, rows, ours, peerRows, peer } = outcome;
  const footprint = (print: Footprint | undefined): string[] =>
    print === undefined ? [] : [`processes: ${print.processes}; connections: ${print.connections}`];
  const mine =
    rows.length === 0
      ? []
      : [
          `-- priority-path: ${String(volumes)} volumes, policy ${policy}, fencing ${fencing}, ${machine}`,
          ...[head(), ...rows.map(rowText), ...footprint(ours)],
        ];
  const theirs =
    peerRows.length === 0
      ? []
      : [
          '-- the peer: qemu-storage-daemon with libiscsi behind a redirecting portal, no fence',
          ...[head(), ...peerRows.map(peerText), ...footprint(peer)],
        ];
  return [...mine, ...theirs].join('\n');
}
