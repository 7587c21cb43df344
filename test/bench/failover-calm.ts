/**
 * What is no reason to leave a path: storage that is slow on every path, a link that loses a packet now and
 * then, hiccups of the network, one command that the target swallows. While it lasts every volume has to
 * stay where it is and to answer everything; a gap is what one write took.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startVolume, submit } from '../support/node/real-volume.ts';
import { Disk, MemoryMedium } from '../support/targets/scripted-target/disk.ts';
import { TARGET_NAME } from '../support/targets/scripted-target/script.ts';
import { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import { monotonicMs } from '../support/load/stamps-load.ts';
import { type CalmName, makeRow, type Row, type Sample } from './failover-report.ts';
import type { FailoverWorld } from './failover-world.ts';

interface Calm {
  /** The files of every gateway must be slow ones. */
  readonly needsSlow: boolean;
  /** Resolves when it is over and all is as before. */
  readonly last: (world: FailoverWorld, forMs: number) => Promise<void>;
}

const SLOW_WRITES_MS = 2_000;
const LOST_PERMILLE = 5;
const HICCUP_MS = 300;
const HICCUP_EVERY_MS = 3_000;
/** What a load has seen is known this much later. */
const REPORTED_MS = 400;

type WorldCalm = Exclude<CalmName, 'swallowed'>;

export const CALMS: Readonly<Record<WorldCalm, Calm>> = {
  'slow-writes': {
    needsSlow: true,
    last: async ({ slow }, forMs) => {
      await slow.delayWrites(SLOW_WRITES_MS);
      await sleep(forMs);
      await slow.delayWrites(0);
      await sleep(2 * SLOW_WRITES_MS);
    },
  },
  'packet-loss': {
    needsSlow: false,
    last: async ({ network: { racks } }, forMs) => {
      for (const rack of racks) rack.loseSome(LOST_PERMILLE);
      await sleep(forMs);
      for (const rack of racks) rack.loseSome(0);
    },
  },
  hiccups: {
    needsSlow: false,
    // Of all paths at once and of each by itself, in turn.
    last: async ({ network: { racks } }, forMs) => {
      const until = monotonicMs() + forMs;
      for (let n = 0; monotonicMs() < until; n++) {
        const struck = racks.filter((_, index) => n % 2 === 0 || index === (n >> 1) % racks.length);
        for (const rack of struck) rack.hiccup(HICCUP_MS);
        await sleep(HICCUP_EVERY_MS);
      }
    },
  },
};

export const CALM_NAMES = Object.keys(CALMS) as WorldCalm[];

export async function measureCalm(
  world: FailoverWorld,
  name: WorldCalm,
  seconds: number,
): Promise<Row> {
  await world.home();
  await world.startLoads();
  const before = await world.status();
  const starved = world.starvedMs();
  const from = monotonicMs();
  await CALMS[name].last(world, seconds * 1000);
  const after = world.starvedMs();
  await sleep(REPORTED_MS);
  const is = await world.status();
  const samples = world.volumes.map(({ id, load }, index): Sample => {
    const of = (all: typeof is): (typeof is)[number] | undefined =>
      all.find(({ volumeId }) => volumeId === id);
    const switches = (of(is)?.failovers ?? NaN) - (of(before)?.failovers ?? NaN);
    return {
      gapMs: load?.worstGapMs(from, monotonicMs()) ?? NaN,
      starvedMs: (after[index] ?? 0) - (starved[index] ?? 0),
      replayed: switches === 0 ? 0 : (of(is)?.lastSwitch?.replayed ?? 0),
      fence: switches === 0 ? 'stays' : `${String(switches)} failovers`,
    };
  });
  return makeRow(name, samples, await world.stopLoads());
}

/** Two scripted gateways to one disk, of which the first can swallow a write. */
export async function measureSwallowed(events: number): Promise<Row> {
  const medium = new MemoryMedium(4 << 20);
  let armed = 0;
  const script = {
    carryOut: (task: Parameters<ScriptedTarget['script']['carryOut']>[0]): void => {
      const isSwallowed = armed > 0 && task.request.cdb[0] === 0x8a;
      if (isSwallowed) armed--;
      else task.answer(task.execute());
    },
  };
  const targets = [await ScriptedTarget.start(script), await ScriptedTarget.start()];
  for (const { script: is } of targets) {
    const unit = is.units.get(1);
    if (unit !== undefined) is.units.set(1, { ...unit, disk: new Disk(medium) });
  }
  const portals = targets.map(({ host, port }) => ({ host, port }));
  const volume = await startVolume({ portals, targetName: TARGET_NAME, policy: {} });
  const samples: Sample[] = [];
  let ioErrors = 0;
  let lost = 0;
  for (let event = 1; event <= events; event++) {
    const data = Buffer.alloc(512, event);
    armed++;
    const from = monotonicMs();
    const writing = submit(volume, { kind: 'write', offset: 512 * event, data });
    // Others are answered meanwhile.
    await sleep(200);
    const other = await submit(volume, {
      kind: 'write',
      offset: 0,
      data: Buffer.alloc(512, event),
    });
    const error = await writing;
    if (error !== undefined || other !== undefined) ioErrors++;
    if (!medium.read(512 * event, 512).equals(data)) lost++;
    const { failovers, lastSwitch } = volume.status();
    const fence = failovers === 0 ? 'stays' : `${String(failovers)} failovers`;
    const gapMs = monotonicMs() - from;
    samples.push({ gapMs, starvedMs: 0, replayed: lastSwitch?.replayed ?? 0, fence });
  }
  await volume.close();
  for (const target of targets) await target.stop();
  return makeRow('swallowed', samples, { ioErrors, lost, stale: 0, torn: 0 });
}
