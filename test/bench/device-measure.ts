/**
 * Measures cells of `bench:device`: in each round ours, the peer as it comes, the peer on stable storage,
 * and for deep reads what libiscsi alone gets from the target; the next round in the opposite order. Beside
 * each run: the processor time of the server and of the target by completed I/O, and what others had of
 * the machine.
 */
import type { DeviceCell } from './device-cells.ts';
import { jobOf, stableName, writes } from './device-cells.ts';
import type { DeviceWorld, Side } from './device-world.ts';
import { runPeer } from './libiscsi.ts';
import { foreignPart, type Load, loadBefore, loadBetween, look } from './machine.ts';
import { threadTimes, usedUs } from './processor.ts';
import { median, type Row, row } from './rows.ts';

export interface Effort {
  readonly seconds: number;
  readonly rounds: number;
}

/** Processor time in us by completed I/O. */
export interface Cost {
  readonly server: number;
  readonly target: number;
}

export interface DeviceRow extends Row {
  readonly cell: DeviceCell;
  /** The peer's writes are on stable storage too; ours always are. */
  readonly isStable: boolean;
  readonly cost: { readonly ours: Cost; readonly peer: Cost };
  /** What others had of the machine. */
  readonly foreign: number;
  /** I/Os a second of libiscsi alone on this target, where it was measured. */
  readonly ceiling?: number;
}

/** A chain of devices without a target: there is nothing beside it. */
export interface RamRow {
  readonly name: string;
  readonly iops: number;
  readonly serverUs: number;
  readonly foreign: number;
}

interface Run {
  readonly iops: number;
  readonly cost: Cost;
  readonly load: Load;
}

const WARM_UP_SECONDS = 1;

/** Is the target's own limit measured beside it? */
function hasCeiling({ mode, depth, isPlain }: DeviceCell): boolean {
  return isPlain && mode === 'randread' && depth === 32;
}

/** pathd runs for weeks: its code is compiled before it is measured. */
export async function warmUp(world: DeviceWorld, cells: readonly DeviceCell[]): Promise<void> {
  const { ours, peer } = await world.sides(1);
  const deep = cells.filter(({ isPlain, depth }) => isPlain && depth === 32);
  for (const cell of deep) await run(world, ours, cell, WARM_UP_SECONDS);
  for (const cell of deep.slice(0, 1)) await run(world, peer, cell, WARM_UP_SECONDS);
}

export async function measureCell(
  world: DeviceWorld,
  cell: DeviceCell,
  effort: Effort,
): Promise<readonly DeviceRow[]> {
  const { ours, peer } = await world.sides(cell.volumes);
  const before = await loadBefore();
  const [mine, plain, stable]: [Run[], Run[], Run[]] = [[], [], []];
  const ceilings: number[] = [];
  const turns = [
    async () => void mine.push(await run(world, ours, cell, effort.seconds)),
    async () => void plain.push(await run(world, peer, cell, effort.seconds)),
  ];
  if (writes(cell)) {
    turns.push(async () => void stable.push(await run(world, peer, cell, effort.seconds, true)));
  }
  if (hasCeiling(cell)) {
    turns.push(async () => void ceilings.push(await ceilingOf(ours, cell)));
  }
  for (let round = 0; round < effort.rounds; round++) {
    for (const turn of turns) await turn();
    turns.reverse(); // a side that goes first has no lasting advantage
  }
  const ceiling = ceilings.length === 0 ? undefined : Math.round(median(ceilings));
  const rows = [deviceRow(cell, { before, mine, theirs: plain, ceiling })];
  if (writes(cell)) rows.push(deviceRow(cell, { before, mine, theirs: stable, isStable: true }));
  return rows;
}

async function ceilingOf({ target }: Side, cell: DeviceCell): Promise<number> {
  const reads = { name: '', write: false, size: cell.blockSize, depth: cell.depth };
  return (await runPeer(target, reads, 1, 0, false)).iops;
}

async function run(
  world: DeviceWorld,
  side: Omit<Side, 'target'> & { readonly target?: Side['target'] },
  cell: DeviceCell,
  seconds: number,
  sync = false,
): Promise<Run> {
  const targets = side.target === undefined ? [] : [side.target.pid];
  const times = () => [threadTimes(side.pids), threadTimes(targets)] as const;
  const [looked, [server, target]] = [look(), times()];
  const { read, write } = await world.fio(jobOf(cell, side.devices, { seconds, sync }));
  const [serverAfter, targetAfter] = times();
  const ios = read.ios + write.ios;
  return {
    iops: read.iops + write.iops,
    cost: {
      server: usedUs(server, serverAfter) / ios,
      target: usedUs(target, targetAfter) / ios,
    },
    load: loadBetween(looked, look()),
  };
}

interface Rounds {
  readonly before: Load;
  readonly mine: readonly Run[];
  readonly theirs: readonly Run[];
  readonly isStable?: boolean;
  readonly ceiling?: number | undefined;
}

function deviceRow(
  cell: DeviceCell,
  { before, mine, theirs, isStable = false, ceiling }: Rounds,
): DeviceRow {
  const pairs = mine.map(({ iops }, index) => [iops, theirs[index]?.iops ?? NaN] as const);
  return {
    ...row(isStable ? stableName(cell) : cell.name, pairs),
    ...{ cell, isStable, cost: { ours: costOf(mine), peer: costOf(theirs) } },
    foreign: foreignPart(
      before,
      [...mine, ...theirs].map(({ load }) => load),
    ),
    ...(ceiling === undefined ? {} : { ceiling }),
  };
}

function costOf(runs: readonly Run[]): Cost {
  return {
    server: median(runs.map(({ cost }) => cost.server)),
    target: median(runs.map(({ cost }) => cost.target)),
  };
}

/** The chain alone: 4 KiB at queue depth 32, by the cells that are given. */
export async function measureRam(
  world: DeviceWorld,
  cells: readonly DeviceCell[],
  effort: Effort,
): Promise<readonly RamRow[]> {
  const side = await world.ram();
  for (const cell of cells) await run(world, side, cell, WARM_UP_SECONDS);
  const rows: RamRow[] = [];
  for (const cell of cells) {
    const before = await loadBefore();
    const runs: Run[] = [];
    for (let round = 0; round < effort.rounds; round++) {
      runs.push(await run(world, side, cell, effort.seconds));
    }
    rows.push({
      name: `${cell.name}, from memory`,
      iops: Math.round(median(runs.map(({ iops }) => iops))),
      serverUs: costOf(runs).server,
      foreign: foreignPart(
        before,
        runs.map(({ load }) => load),
      ),
    });
  }
  return rows;
}
