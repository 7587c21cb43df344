/**
 * The events of `bench:failover`, all of them at gateway 0, where every volume is at home: how each is
 * struck and how it is over. Then the measuring of one: per volume, the longest time without an
 * acknowledged write that touches the event, by the clock of the load.
 *
 * The fence in use for a gateway that is not dead is `none`, asked for by name: two tgtd are two device
 * servers and share nothing that could fence. It is safe here because no gateway that holds writes of
 * ours lives to execute them: a frozen one is killed before it is thawed, a hung one before its storage
 * lets go (which answers with errors until it is dead), and a black-holed one has executed what it got.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { VolumeStatus } from '../../src/pathd/api.ts';
import { monotonicMs } from '../support/load/stamps-load.ts';
import {
  type CalmName,
  type EventName,
  makeRow,
  type Row,
  type Sample,
} from './failover-report.ts';
import type { FailoverWorld } from './failover-world.ts';

/** What is done to gateway `index` of a world, and how it is made good. */
export interface Fault {
  /** The files of gateway 0 must be slow ones. */
  readonly needsSlow: boolean;
  strike(world: FailoverWorld, index: number): Promise<void>;
  mend(world: FailoverWorld, index: number): Promise<void>;
}

export type FaultName = Exclude<EventName, 'failback' | CalmName>;

async function restart(world: FailoverWorld, index: number): Promise<void> {
  const gateway = world.gateway(index);
  await gateway.kill();
  await gateway.start();
}

export const FAULTS: Readonly<Record<FaultName, Fault>> = {
  kill: {
    needsSlow: false,
    strike: (world, index) => world.gateway(index).kill(),
    mend: (world, index) => world.gateway(index).start(),
  },
  sigstop: {
    needsSlow: false,
    strike: async (world, index) => world.gateway(index).signal('SIGSTOP'),
    mend: restart,
  },
  'black-hole': {
    needsSlow: false,
    strike: async ({ network }, index) => network.racks[index]?.blackHole(true),
    mend: async ({ network }, index) => network.racks[index]?.blackHole(false),
  },
  'hung-backend': {
    needsSlow: true,
    strike: ({ slow }) => slow.hang(),
    mend: async (world, index) => {
      const gateway = world.gateway(index);
      const dead = gateway.kill();
      await world.slow.drop();
      await dead;
      await world.slow.letGo();
      await gateway.start();
    },
  },
  'brown-out': {
    needsSlow: true,
    strike: ({ slow }) => slow.delay(80),
    mend: ({ slow }) => slow.delay(0),
  },
};

export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

/** Longest time from the fault to the last volume on another path. */
const LEAVE_LIMIT_MS = 60_000;
/** What a load has seen is known this much later (it reports every 100 ms). */
const REPORTED_MS = 400;
/**
 * Pause before each event: its gaps are not those of the one before, and it is no part of the same trouble.
 * The third verdict of one trouble needs more evidence (src/paths/slowness.ts): that is not what is measured.
 */
const QUIET_MS = 11_000;

/** A moment of the wall clock on the monotonic one. */
function onMonotonicClock(unixMs: number): number {
  return monotonicMs() - (Date.now() - unixMs);
}

/** A switch is on record a moment after it was done: what a gap must touch to be of it. */
function around(status: VolumeStatus): readonly [fromMs: number, toMs: number] {
  const at = onMonotonicClock(status.lastSwitch?.atUnixMs ?? NaN);
  return [at - 150, at + 150];
}

export interface Measured {
  readonly away: readonly Sample[];
  readonly back: readonly Sample[];
}

/** One event of every volume: away from gateway 0 and, where the policy does that by itself, back. */
export async function measureRound(world: FailoverWorld, name: FaultName): Promise<Measured> {
  await world.home();
  await sleep(QUIET_MS);
  const away = await measureAway(world, name);
  const back = await measureBack(world, name);
  return { away, back };
}

async function measureAway(world: FailoverWorld, name: FaultName): Promise<Sample[]> {
  const starved = world.starvedMs();
  const from = monotonicMs();
  await FAULTS[name].strike(world, 0);
  const left = await world.until(
    `${name}: another path`,
    ({ state, currentPath }) => state === 'serving' && currentPath !== '' && currentPath !== 'p0',
    LEAVE_LIMIT_MS,
  );
  const after = world.starvedMs();
  const to = monotonicMs();
  await sleep(REPORTED_MS);
  return world.volumes.map(({ id, load }, index) => {
    const status = of(left, id);
    // A brown-out is left by a planned switch, seconds after it began: the slow I/O is no gap.
    const window = name === 'brown-out' ? around(status) : ([from, to] as const);
    return {
      gapMs: load?.worstGapMs(...window) ?? NaN,
      starvedMs: (after[index] ?? 0) - (starved[index] ?? 0),
      replayed: status.lastSwitch?.replayed ?? 0,
      fence: status.lastSwitch?.fence ?? 'no switch',
    };
  });
}

/** Only what the policy does by itself counts as a failback. */
async function measureBack(world: FailoverWorld, name: FaultName): Promise<Sample[]> {
  const starved = world.starvedMs();
  await FAULTS[name].mend(world, 0);
  const home = await world.home();
  const after = world.starvedMs();
  await sleep(REPORTED_MS);
  return world.volumes.flatMap(({ id, load }, index) => {
    const status = of(home, id);
    if (status.lastSwitch?.kind !== 'failback' || load === undefined) return [];
    // The whole way home takes seconds: only as much of the waiting as fits into the gap is its.
    const gapMs = load.worstGapMs(...around(status));
    const late = load.writerLateMs(...around(status));
    const waited = (after[index] ?? 0) - (starved[index] ?? 0);
    const { fence, replayed } = status.lastSwitch;
    return [{ gapMs, starvedMs: Math.min(late, waited), replayed, fence }];
  });
}

function of(all: readonly VolumeStatus[], id: string): VolumeStatus {
  const status = all.find(({ volumeId }) => volumeId === id);
  if (status === undefined) throw new Error(`${id} is not attached`);
  return status;
}

/** Rows of one fault: its own, and the failbacks after it where there were any. */
export async function measureFault(
  world: FailoverWorld,
  name: FaultName,
  events: number,
  progress: (text: string) => void,
): Promise<{ readonly row: Row; readonly back: Row | undefined }> {
  await world.home();
  await world.startLoads();
  const away: Sample[] = [];
  const back: Sample[] = [];
  while (away.length < events) {
    const round = await measureRound(world, name);
    away.push(...round.away);
    back.push(...round.back);
    progress(`${name}: ${String(away.length)} of ${String(events)} events`);
  }
  const damage = await world.stopLoads();
  return {
    row: makeRow(name, away, damage),
    back: back.length === 0 ? undefined : makeRow('failback', back, damage),
  };
}
