/**
 * A mounted ext4 under fio verify while its paths die in every way that D63 names, on real
 * targets and a real kernel device. fio ends with an error if one block does not read back as it was
 * written last, or if one request was answered with an error.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { VolumeStatus } from '../../src/pathd/api.ts';
import { FioJobRun } from '../support/load/fio.ts';
import { Rig, type RigOptions } from '../support/node/rig.ts';
import { StampLoad } from '../support/load/stamps-load.ts';
import { verifyFile } from '../support/load/stamps.ts';
import type { Target } from '../support/targets/tgt.ts';

let rig: Rig | undefined;

afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

async function mounted(options: RigOptions = {}): Promise<Rig> {
  rig = await Rig.start(options);
  await rig.stage();
  await rig.publish();
  return rig;
}

/**
 * Random 4 KiB writes, up to 32 in flight, verified afterwards. The rate keeps fio writing (and not
 * verifying yet) for the whole runtime: whatever fails meanwhile, fails under writes.
 */
function load(volume: Rig, runtimeSeconds: number): FioJobRun {
  const file = `${volume.path}/fio`;
  const rateBytes = 12 << 20;
  return new FioJobRun({ file, sizeBytes: 192 << 20, runtimeSeconds, rateBytes });
}

/** Fenced by this rung if writes were unanswered; there may have been none at that moment. */
function expectFence(over: VolumeStatus, rung: string): void {
  const { lastSwitch } = over;
  expect(lastSwitch?.fence).toBe((lastSwitch?.replayed ?? 0) > 0 ? rung : 'not-needed');
}

const busy = (volume: Rig): Promise<unknown> =>
  volume.until('writes in flight', (status) => status.outstanding > 0);

async function settled(volume: Rig, job: FioJobRun): Promise<void> {
  const result = await job.done;
  expect(result).toMatchObject({ error: 0, complaint: '' });
  expect((await volume.status()).ioErrors).toBe(0);
  await volume.unpublish();
  await volume.unstage();
  await volume.fsck();
}

describe('a mounted ext4 under verified load', () => {
  test('goes on through p1 when the target of p0 is killed, then returns to p0', async () => {
    const volume = await mounted({ policy: { fencing: 'gone' } });
    const job = load(volume, 6);
    await busy(volume);
    await volume.target(0).kill();
    const over = await volume.until('I/O on p1', (status) => status.currentPath === 'p1');
    expect(over.lastSwitch).toMatchObject({ from: 'p0', to: 'p1', kind: 'failover' });
    expectFence(over, 'gone');
    await volume.target(0).start();
    const home = await volume.until('I/O on p0', (status) => status.currentPath === 'p0', 30_000);
    expect(home.lastSwitch).toMatchObject({ kind: 'failback', fence: 'not-needed', replayed: 0 });
    expect(home.failovers).toBe(1);
    await settled(volume, job);
  });

  test('survives two paths down, then up again', async () => {
    const volume = await mounted({ policy: { fencing: 'gone' } });
    const job = load(volume, 6);
    await busy(volume);
    await volume.target(0).kill();
    await volume.until('I/O on p1', (status) => status.currentPath === 'p1');
    await volume.target(1).kill();
    await volume.until('I/O on p2', (status) => status.currentPath === 'p2');
    await volume.target(0).start();
    await volume.target(1).start();
    await volume.until('I/O on p0', (status) => status.currentPath === 'p0', 40_000);
    await settled(volume, job);
  });

  test('waits while all paths are down and goes on with the first that answers', async () => {
    const volume = await mounted({ policy: { fencing: 'gone' } });
    const job = load(volume, 6);
    await busy(volume);
    await Promise.all(volume.targets.map((target) => target.kill()));
    // Not just held: it is for a moment at every switch, and the three die one after the other.
    const down = await volume.until('no path', ({ reason }) => reason.startsWith('no usable path'));
    expect(down.state).toBe('holding');
    expect(down.reason).toContain('p2: ');
    await volume.target(2).start();
    await volume.until('I/O on p2', (status) => status.currentPath === 'p2');
    await volume.target(0).start();
    await volume.target(1).start();
    await settled(volume, job);
  });

  test('leaves a frozen target when told to go on unfenced, within 1.5 s under load', async () => {
    const volume = await mounted({ policy: { fencing: 'none' } });
    const job = load(volume, 6);
    await busy(volume);
    const { starvedMs } = volume;
    volume.target(0).signal('SIGSTOP');
    const over = await volume.until('I/O on p1', (status) => status.currentPath === 'p1');
    expect(over.lastSwitch?.kind).toBe('failover');
    expectFence(over, 'none');
    // Killed before it can execute what it still has: this is not the test of the fence.
    await volume.target(0).kill();
    const status = await volume.until('gap known', (now) => (now.lastSwitch?.gapMs ?? 0) > 0);
    const boundMs = 1500 + volume.starvedMs - starvedMs;
    expect(status.lastSwitch?.gapMs).toBeLessThanOrEqual(boundMs);
    await settled(volume, job);
  });

  test('leaves a black-holed path when told to go on unfenced, within 1.5 s under load', async () => {
    const volume = await mounted({ racks: true, policy: { fencing: 'none' } });
    const job = load(volume, 6);
    await busy(volume);
    const { starvedMs } = volume;
    volume.rack(0).blackHole(true);
    const over = await volume.until('I/O on p1', (status) => status.currentPath === 'p1');
    expect(over.lastSwitch?.kind).toBe('failover');
    expectFence(over, 'none');
    await volume.target(0).kill();
    const status = await volume.until('gap known', (now) => (now.lastSwitch?.gapMs ?? 0) > 0);
    const boundMs = 1500 + volume.starvedMs - starvedMs;
    expect(status.lastSwitch?.gapMs).toBeLessThanOrEqual(boundMs);
    await settled(volume, job);
  });
});

describe('the fence', () => {
  test('holds I/O while a frozen target may still write, says what to set, loses nothing', async () => {
    const volume = await mounted();
    const load = await StampLoad.start({ file: `${volume.path}/stamps`, volume: volume.volumeId });
    await load.progressed(2000, 30_000);
    volume.target(0).signal('SIGSTOP');
    const held = await volume.until('held', (status) => status.reason.includes('not fenced'));
    expect(held.state).toBe('holding');
    expect(held.reason).toContain('policy.prioritypath.io/fencing');
    expect(held.currentPath).toBe('');
    volume.target(0).signal('SIGCONT');
    const over = await volume.until('serving', (status) => status.state === 'serving');
    expect(over.lastSwitch).toMatchObject({ from: 'p0', fence: 'reset' });
    await load.progressed(2000, 30_000);
    await verified(volume, load);
  });

  test('is a session reinstatement and LUN reset when only the connection was cut', async () => {
    const volume = await mounted();
    const load = await StampLoad.start({ file: `${volume.path}/stamps`, volume: volume.volumeId });
    await load.progressed(2000, 30_000);
    for (let round = 1; round <= 5; round++) {
      const before = (await volume.status()).currentPath;
      await cutConnections(volume.target(Number(before.slice(1))));
      const over = await volume.until('failover', (status) => status.failovers === round);
      expectFence(over, 'reset');
      await load.progressed(500, 30_000);
    }
    await verified(volume, load);
  });
});

/** Cuts the target's connections of the initiator; the target lives. */
async function cutConnections(target: Target): Promise<void> {
  const list = await target.admin('--op', 'show', '--mode', 'conn', '--tid', '1');
  for (const [, sid = '', cid = ''] of list.matchAll(/Session: (\d+)\s+Connection: (\d+)/g)) {
    const one = ['--mode', 'conn', '--tid', '1', '--sid', sid, '--cid', cid];
    await target.admin('--op', 'delete', ...one);
  }
}

/** Stops the load and reads every block back: through the mount, and from the backing file at the end. */
async function verified(volume: Rig, load: StampLoad): Promise<void> {
  const ledger = await load.stop();
  expect(load.totals).toMatchObject({ errors: 0, faults: 0 });
  const good = { lost: 0, stale: 0, torn: 0, errors: 0 };
  expect(await verifyFile(`${volume.path}/stamps`, ledger)).toMatchObject(good);
  expect((await volume.status()).ioErrors).toBe(0);
  await volume.unpublish();
  await volume.unstage();
  await volume.fsck();
}

describe('all paths down for longer than no-path-timeout', () => {
  test('fails for good: umount and unstage work, a path that comes back gets no write', async () => {
    const volume = await mounted({ policy: { fencing: 'gone', 'no-path-timeout': '2s' } });
    const job = load(volume, 30);
    await busy(volume);
    await Promise.all(volume.targets.map((target) => target.kill()));
    const failed = await volume.until('failed', (status) => status.state === 'failed');
    expect(failed.reason).toContain('no-path-timeout');
    const before = Rig.hash(volume.backingFile);
    await Promise.all(volume.targets.map((target) => target.start()));
    expect((await job.done).error).not.toBe(0);
    await volume.unpublish();
    await volume.unstage();
    expect(Rig.hash(volume.backingFile)).toBe(before);
    // Staged again it serves: the journal is replayed and the file system is whole.
    await volume.stage();
    await volume.publish();
    expect((await volume.status()).state).toBe('serving');
    await volume.unpublish();
    await volume.unstage();
    await volume.fsck();
  });
});
