/**
 * What `bench:device` says in the end, of its rows alone. Like is compared with like in the first mean: our
 * writes are on stable storage when they are answered, so they stand beside writes of the peer that are.
 */
import type { DeviceRow, RamRow } from './device-measure.ts';
import { type Goal, goalLines, lowest } from './goals.ts';
import { percent, verdict } from './machine.ts';
import { geomean, geomeanText, rowText } from './rows.ts';

/** Above the table. */
export const DEVICE_HEADER = [
  `${'I/Os a second'.padStart(62)}${'server, us an I/O'.padStart(27)}${'target'.padStart(12)}`,
  `${'ours'.padStart(53)}${'peer'.padStart(9)}${'ratio'.padStart(9)}${columns('ours', 'peer').repeat(2)}   others`,
].join('\n');

function columns(...texts: readonly [ours: string, peer: string]): string {
  const [ours, peer] = texts;
  return `${ours.padStart(9)}${peer.padStart(6)}`;
}

function us(value: number): string {
  return value.toFixed(value < 99.95 ? 1 : 0);
}

/** One line of the table. */
export function deviceText(line: DeviceRow): string {
  const { ours, peer } = line.cost;
  const server = columns(us(ours.server), us(peer.server));
  const target = columns(us(ours.target), us(peer.target));
  const { ceiling } = line;
  const limit =
    ceiling === undefined
      ? ''
      : `   ${fraction(line).toFixed(2)} of the target's ${ceiling.toLocaleString('en')}`;
  return `${rowText(line)}${server}${target}${percent(line.foreign).padStart(9)}${limit}`;
}

export function ramText({ name, iops, serverUs, foreign }: RamRow): string {
  const figure = iops.toLocaleString('en').padStart(9);
  const server = `${columns(us(serverUs), '')}${columns('', '')}`;
  return `${name.padEnd(44)}${figure}${''.padStart(18)}${server}${percent(foreign).padStart(9)}`;
}

/** Ours as a part of what libiscsi alone gets from the target. */
function fraction({ ours, ceiling = NaN }: DeviceRow): number {
  return ours / ceiling;
}

/** Reads, and writes on stable storage on both sides. */
export function likeWithLike(rows: readonly DeviceRow[]): readonly DeviceRow[] {
  return rows.filter(({ cell, isStable }) => {
    return cell.isPlain && (isStable || cell.mode === 'randread');
  });
}

/** The plain cells against the peer as it comes. */
export function asItComes(rows: readonly DeviceRow[]): readonly DeviceRow[] {
  return rows.filter(({ cell, isStable }) => cell.isPlain && !isStable);
}

/** The goals of the device; with polling more is wanted of it. */
export function deviceGoals(
  rows: readonly DeviceRow[],
  ram: readonly RamRow[],
  { polls }: { readonly polls: boolean },
): readonly Goal[] {
  const plain = asItComes(rows);
  const deep = (blockSize: number): readonly DeviceRow[] =>
    plain.filter(({ cell }) => cell.depth === 32 && cell.blockSize === blockSize);
  const mean = (of: readonly DeviceRow[], whole: number): number | undefined =>
    of.length === whole ? geomean(of) : undefined;
  const ratio = ({ ratio }: DeviceRow): number => ratio;
  const none = { found: undefined };
  const least = { wanted: 'at least' } as const;
  // The costliest: the highest figure, so the lowest of the negative ones.
  const cost = lowest(deep(4096), (line) => -line.cost.ours.server);
  const ceiling = (blockSize: number) =>
    lowest(
      deep(blockSize).filter((line) => line.ceiling !== undefined),
      fraction,
    ) ?? none;
  const way = polls ? 'with polling' : 'polling off';
  return [
    {
      what: 'reads + stable writes, mean',
      ...least,
      bound: 1.5,
      found: mean(likeWithLike(rows), 8),
    },
    {
      ...{ what: `eight plain cells, peer as it comes, ${way}`, ...least },
      ...{ bound: polls ? 1.3 : 1.06, found: mean(plain, 8) },
    },
    { what: 'lowest row', ...least, bound: 0.95, ...(lowest(rows, ratio) ?? none) },
    {
      what: '4 KiB QD32, peer as it comes',
      ...least,
      bound: 1.05,
      ...(lowest(deep(4096), ratio) ?? none),
    },
    {
      ...{ what: '128 KiB QD32, peer as it comes', ...least, bound: 1.2 },
      ...(lowest(deep(131_072), ratio) ?? none),
    },
    {
      ...{ what: 'pathd, us of processor an I/O, 4 KiB QD32', wanted: 'at most', bound: 13 },
      ...(cost === undefined ? none : { found: -cost.found, where: cost.where }),
    },
    {
      what: "part of the target's limit, 4 KiB QD32 reads",
      ...least,
      bound: 0.75,
      ...ceiling(4096),
    },
    {
      what: "part of the target's limit, 128 KiB QD32 reads",
      ...least,
      bound: 0.9,
      ...ceiling(131_072),
    },
    {
      ...{ what: 'from memory, 4 KiB QD32, IOPS', ...least, bound: 100_000 },
      ...(lowest(ram, ({ iops }) => iops) ?? none),
    },
  ];
}

/** Below the table. */
export function deviceSummary(
  rows: readonly DeviceRow[],
  ram: readonly RamRow[],
  goals: readonly Goal[],
): readonly string[] {
  return [
    '',
    geomeanText(likeWithLike(rows), 'GEOMETRIC MEAN, reads + writes on stable storage'),
    geomeanText(asItComes(rows), 'geometric mean of the plain cells, the peer as it comes'),
    verdict([...rows, ...ram].map(({ foreign }) => foreign)).text,
    '',
    ...goalLines(goals),
  ];
}
