/**
 * Paths of a mounted volume are added, moved, drained, pinned, reweighted and removed under a load that
 * sees lost, stale and torn blocks. Nothing is remounted, nothing replayed, nothing answered with an
 * error.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import type { PathSpec } from '../../src/pathd/api.ts';
import { Rig } from '../support/node/rig.ts';
import { StampLoad } from '../support/load/stamps-load.ts';
import { verifyFile } from '../support/load/stamps.ts';

let rig: Rig | undefined;
let load: StampLoad | undefined;

afterEach(async () => {
  await load?.kill();
  load = undefined;
  await rig?.close();
  rig = undefined;
});

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const WEIGHTS = [100, 90, 80];

/** The paths p0, p1 … to the given targets. */
function paths(volume: Rig, targets: readonly number[]): PathSpec[] {
  return targets.map((target, index) => ({
    name: `p${String(index)}`,
    host: volume.target(target).options.host,
    port: volume.target(target).options.port,
    targetName: volume.target(target).iqn,
    lun: 1,
    maxWeight: WEIGHTS[index] ?? 80,
    drained: false,
  }));
}

const POLICY = { 'expected-serial': 'RIG0001', fencing: 'gone' };

async function update(volume: Rig, wanted: readonly PathSpec[], pin = ''): Promise<void> {
  const { volumeId } = volume;
  await volume.pathd.update({ volumeId, paths: wanted, policy: POLICY, pin });
}

async function running(): Promise<{ readonly volume: Rig; readonly writes: StampLoad }> {
  const volume = await Rig.start({ policy: { fencing: 'gone' } });
  rig = volume;
  await volume.stage();
  await volume.publish();
  const file = `${volume.path}/stamps`;
  const writes = await StampLoad.start({ file, volume: volume.volumeId });
  load = writes;
  await writes.progressed(500, 30_000);
  return { volume, writes };
}

async function settled(volume: Rig, writes: StampLoad): Promise<void> {
  await writes.progressed(500, 30_000);
  const ledger = await writes.stop();
  expect(writes.totals).toMatchObject({ errors: 0, faults: 0 });
  const good = { lost: 0, stale: 0, torn: 0, errors: 0 };
  expect(await verifyFile(`${volume.path}/stamps`, ledger)).toMatchObject(good);
  expect(await volume.status()).toMatchObject({ ioErrors: 0, failovers: 0 });
  await volume.unpublish();
  await volume.unstage();
  await volume.fsck();
}

describe('paths of a mounted volume under load', () => {
  test('are drained, pinned, reweighted and freed again by planned switches', async () => {
    const { volume, writes } = await running();
    await volume.pathd.drain(volume.volumeId, 'p0', true);
    await volume.until('left p0', ({ currentPath }) => currentPath === 'p1');
    await volume.pathd.pin(volume.volumeId, 'p2');
    const pinned = await volume.until('on p2', ({ currentPath }) => currentPath === 'p2');
    expect(pinned).toMatchObject({ pinnedPath: 'p2' });
    expect(pinned.lastSwitch).toMatchObject({ kind: 'planned', replayed: 0, fence: 'not-needed' });
    await volume.pathd.pin(volume.volumeId, '');
    await volume.until('back on p1', ({ currentPath }) => currentPath === 'p1');
    await volume.pathd.drain(volume.volumeId, 'p0', false);
    await volume.until('back on p0', ({ currentPath }) => currentPath === 'p0');
    const heavier = paths(volume, [0, 1, 2]).map((path) =>
      path.name === 'p2' ? { ...path, maxWeight: 150 } : path,
    );
    await update(volume, heavier);
    await volume.until('weight follows', ({ paths: all }) => all[2]?.maxWeight === 150);
    await volume.until('on p2', ({ currentPath }) => currentPath === 'p2', 60_000);
    await settled(volume, writes);
  });

  test('are removed, moved to other targets and added while the volume serves', async () => {
    const { volume, writes } = await running();
    await update(volume, paths(volume, [0, 1, 2]).slice(1));
    await volume.until('on p1', ({ currentPath }) => currentPath === 'p1');
    expect((await volume.status()).paths.map(({ name }) => name)).toEqual(['p1', 'p2']);
    await update(volume, paths(volume, [0, 1, 2]));
    await volume.until('p0 added', ({ paths: all }) =>
      all.some(({ name, state }) => name === 'p0' && state === 'standby'),
    );
    // p1, which is in use, and p2 exchange their targets.
    await update(volume, paths(volume, [0, 2, 1]));
    const swapped = await volume.until(
      'all up',
      ({ paths: all }) =>
        all.length === 3 && all.every(({ state }) => state === 'current' || state === 'standby'),
    );
    const portal = (target: number): string => {
      const { host, port } = volume.target(target).options;
      return `${host}:${String(port)}`;
    };
    const portals = new Map(swapped.paths.map(({ name, portal: at }) => [name, at]));
    expect(portals).toEqual(
      new Map([
        ['p0', portal(0)],
        ['p1', portal(2)],
        ['p2', portal(1)],
      ]),
    );
    await settled(volume, writes);
  });

  test('cannot all be taken away: the last usable one is refused and stays', async () => {
    const { volume, writes } = await running();
    await volume.target(1).kill();
    await volume.target(2).kill();
    await volume.until('only p0 up', ({ paths: all }) =>
      all.slice(1).every(({ state }) => state === 'down'),
    );
    await expect(update(volume, paths(volume, [0, 1, 2]).slice(1))).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('every usable path (p0)') as string,
    });
    expect((await volume.status()).currentPath).toBe('p0');
    await settled(volume, writes);
  });

  test('are replaced by "priority-path paths set", and a bad word changes nothing', async () => {
    const { volume, writes } = await running();
    const cli = (...words: string[]): { status: number | null; stderr: string } =>
      spawnSync(
        process.execPath,
        [
          MAIN,
          'paths',
          'set',
          volume.volumeId,
          ...words,
          '--endpoint',
          volume.plugin.pathdEndpoint,
        ],
        { encoding: 'utf8' },
      );
    const [p0 = '', , p2 = ''] = volume.targets.map((target) => target.url);
    expect(cli(`p0=${p0},weight=100`, `p2=${p2},heavy`)).toMatchObject({ status: 2 });
    expect((await volume.status()).paths).toHaveLength(3);
    expect(cli(`p0=${p0},weight=70`, `p2=${p2},weight=90`)).toMatchObject({
      status: 0,
      stderr: '',
    });
    const status = await volume.until('two paths', ({ paths: all }) => all.length === 2);
    expect(status.paths.map(({ maxWeight }) => maxWeight)).toEqual([70, 90]);
    expect(status.fencing).toBe('reset, gone');
    await settled(volume, writes);
  });

  test('an unknown path cannot be pinned; the message lists those there are', async () => {
    const { volume, writes } = await running();
    await expect(volume.pathd.pin(volume.volumeId, 'p9')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('p0, p1, p2') as string,
    });
    await settled(volume, writes);
  });
});
