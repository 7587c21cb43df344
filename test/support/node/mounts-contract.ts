/**
 * What the node service relies on of mounts and devices, as claims about any `Mounts`: run against the double in
 * the unit tier and against the kernel in its own, so that the double cannot drift from what it stands for.
 */
import { describe, expect, test } from 'vitest';
import type { Mounts } from '../../../src/csi/node/mounts.ts';
import { findByDevice, findByMountPoint } from '../../../src/host/mount/mountinfo.ts';
import type { MountEntry } from '../../../src/host/mount/mountinfo.ts';

/** A node to make claims about. */
export interface MountsRig {
  readonly mounts: Mounts;
  /** An empty directory, nothing of which is left afterwards. */
  readonly dir: string;
  /** A device over a blank medium of `RIG_BYTES`; its medium by the path that the kernel shows. */
  readonly device: string;
  readonly backingFile: string;
  /** The medium is larger, and the device has noticed. */
  grow(sizeBytes: number): Promise<void>;
  /** A partition table, on the medium. */
  putPartitions(): Promise<void>;
  /** Keeps a file open below a mount point until the function that is returned is called. */
  keepOpen(mountPoint: string): Promise<() => Promise<void>>;
  /** A file that is not empty. */
  putFile(path: string): Promise<void>;
  /** ext4 is only grown with CAP_SYS_RESOURCE. */
  readonly mayGrow: boolean;
}

export const RIG_BYTES = 64 << 20;

/** @param rig of the test that runs. */
export function mountsContract(rig: () => MountsRig): void {
  const at = (name: string): string => `${rig().dir}/${name}`;
  const entryAt = async (path: string): Promise<MountEntry | undefined> =>
    findByMountPoint(await rig().mounts.readMountInfo(), path);
  const numbers = async (path: string): Promise<{ major: number; minor: number }> => {
    const found = await rig().mounts.blockDeviceNumbers(path);
    if (found === undefined) throw new Error(`${path} is no block device`);
    return found;
  };

  /** The device, formatted and mounted at `staging`. */
  const mounted = async (options: readonly string[] = []): Promise<string> => {
    const { mounts, device } = rig();
    expect(await mounts.makeFilesystem(device, 'ext4')).toEqual({ ok: true });
    await mounts.makeDirectory(at('staging'));
    expect(await mounts.mountFilesystem(device, at('staging'), 'ext4', options)).toEqual({
      ok: true,
    });
    return at('staging');
  };
  const isBusy = async (): Promise<boolean> => {
    const opened = await rig().mounts.openExclusive(rig().device);
    if (!opened.ok) expect(opened.error.kind).toBe('busy');
    return !opened.ok;
  };

  describe('devices', () => {
    test('have numbers, a size and a file behind them; other paths have none', async () => {
      const { mounts, device, backingFile, dir } = rig();
      expect(await mounts.blockDeviceSize(device)).toBe(RIG_BYTES);
      expect(await mounts.readBackingFile(await numbers(device))).toBe(backingFile);
      for (const other of [dir, at('missing')]) {
        expect(await mounts.blockDeviceNumbers(other)).toBeUndefined();
        expect(await mounts.blockDeviceSize(other)).toBeUndefined();
      }
      const missing = await mounts.openExclusive(at('missing'));
      expect(missing).toMatchObject({ ok: false, error: { kind: 'no-device' } });
    });

    test('a blank one can be made a filesystem, which is seen, complete and not grown', async () => {
      const { mounts, device } = rig();
      expect(await mounts.probeDevice(device)).toEqual({ kind: 'blank' });
      expect(await mounts.isComplete(device, 'ext4')).toBe(false);
      expect((await mounts.checkFilesystem(device, 'ext4')).ok).toBe(false);
      expect(await mounts.makeFilesystem(device, 'ext4')).toEqual({ ok: true });
      expect(await mounts.probeDevice(device)).toEqual({ kind: 'filesystem', type: 'ext4' });
      expect(await mounts.isComplete(device, 'ext4')).toBe(true);
      expect(await mounts.checkFilesystem(device, 'ext4')).toEqual({ ok: true, value: '' });
      expect(await mounts.hasGrown(device, 'ext4')).toBe(false);
      expect(await mounts.hasGrown(device, 'xfs')).toBe(true);
    });

    test('partitions are foreign, and what is no device is unknown', async () => {
      const { mounts, device } = rig();
      await rig().putPartitions();
      expect(await mounts.probeDevice(device)).toMatchObject({ kind: 'foreign' });
      expect(await mounts.probeDevice(at('missing'))).toMatchObject({ kind: 'unknown' });
    });
  });

  describe('a filesystem that is mounted', () => {
    test('is in the table with the numbers of its device, which is claimed', async () => {
      const { mounts, device } = rig();
      const staging = await mounted();
      expect(await entryAt(staging)).toMatchObject({
        ...(await numbers(device)),
        ...{ fsType: 'ext4', source: device, root: '/' },
      });
      expect(await isBusy()).toBe(true);
      expect((await mounts.findUsers(device)).map(({ what }) => what).join()).toContain(staging);
      expect((await mounts.makeFilesystem(device, 'ext4')).ok).toBe(false);
      expect((await mounts.checkFilesystem(device, 'ext4')).ok).toBe(false);
      expect(await mounts.unmountAll(staging)).toEqual({ ok: true });
      expect(await entryAt(staging)).toBeUndefined();
      expect(await isBusy()).toBe(false);
      expect(await mounts.unmountAll(staging)).toEqual({ ok: true });
    });

    test('cannot be mounted at the same place again, and at another one only as it is', async () => {
      const { mounts, device } = rig();
      const staging = await mounted();
      await mounts.makeDirectory(at('other'));
      expect((await mounts.mountFilesystem(device, staging, 'ext4', [])).ok).toBe(false);
      expect((await mounts.mountFilesystem(device, at('other'), 'ext4', ['ro'])).ok).toBe(false);
      expect((await mounts.mountFilesystem(device, at('other'), 'ext4', [])).ok).toBe(true);
      await mounts.unmountAll(staging);
      expect(await isBusy()).toBe(true);
      await mounts.unmountAll(at('other'));
      expect(await isBusy()).toBe(false);
    });

    test('what is no filesystem of that type, or has no place to go, is not mounted', async () => {
      const { mounts, device } = rig();
      await mounts.makeDirectory(at('staging'));
      expect((await mounts.mountFilesystem(device, at('staging'), 'ext4', [])).ok).toBe(false);
      await mounts.makeFilesystem(device, 'ext4');
      expect((await mounts.mountFilesystem(device, at('missing'), 'ext4', [])).ok).toBe(false);
      expect((await mounts.mountFilesystem(device, at('staging'), 'xfs', [])).ok).toBe(false);
      expect(findByDevice(await mounts.readMountInfo(), 7, (await numbers(device)).minor)).toEqual(
        [],
      );
      expect(await isBusy()).toBe(false);
    });

    test('read-only stays read-only', async () => {
      const staging = await mounted(['ro']);
      expect((await entryAt(staging))?.superOptions).toContain('ro');
      await rig().mounts.unmountAll(staging);
    });

    test('with an open file is busy, and stays', async () => {
      const { mounts } = rig();
      const staging = await mounted();
      const close = await rig().keepOpen(staging);
      expect(await mounts.unmountAll(staging)).toMatchObject({
        ok: false,
        error: { kind: 'busy' },
      });
      expect(await entryAt(staging)).toBeDefined();
      await close();
      expect(await mounts.unmountAll(staging)).toEqual({ ok: true });
    });

    test('tells its size; elsewhere there is none', async () => {
      const { mounts } = rig();
      const staging = await mounted();
      const usage = await mounts.statfs(staging, 2_000);
      expect(usage.ok && usage.value.totalBytes > RIG_BYTES / 2).toBe(true);
      expect(usage.ok && usage.value.totalBytes <= RIG_BYTES).toBe(true);
      await mounts.unmountAll(staging);
      const missing = await mounts.statfs(at('missing'), 2_000);
      expect(missing).toMatchObject({ ok: false, error: { kind: 'failed' } });
    });

    test('is smaller than its device once that has grown, until it is grown too', async () => {
      const { mounts, device, mayGrow } = rig();
      const staging = await mounted();
      await rig().grow(2 * RIG_BYTES);
      expect(await mounts.blockDeviceSize(device)).toBe(2 * RIG_BYTES);
      expect(await mounts.hasGrown(device, 'ext4')).toBe(true);
      const grown = await mounts.growFilesystem(device, staging, 'ext4');
      expect(grown.ok).toBe(mayGrow);
      expect(await mounts.hasGrown(device, 'ext4')).toBe(!mayGrow);
      if (mayGrow)
        expect(await mounts.growFilesystem(device, staging, 'ext4')).toEqual({ ok: true });
      await mounts.unmountAll(staging);
    });
  });

  describe('a bind', () => {
    test('of a filesystem shows its device, and claims it when the other mount is gone', async () => {
      const { mounts, device } = rig();
      const staging = await mounted();
      await mounts.makeDirectory(at('pods/pod-1'));
      expect(await mounts.bindMount(staging, at('pods/pod-1'), false)).toEqual({ ok: true });
      expect(await entryAt(at('pods/pod-1'))).toMatchObject(await numbers(device));
      await mounts.unmountAll(staging);
      expect(await isBusy()).toBe(true);
      await mounts.unmountAll(at('pods/pod-1'));
      expect(await isBusy()).toBe(false);
    });

    test('may be read-only where the filesystem is not', async () => {
      const { mounts } = rig();
      const staging = await mounted();
      await mounts.makeDirectory(at('pod'));
      await mounts.bindMount(staging, at('pod'), true);
      expect((await entryAt(at('pod')))?.options).toContain('ro');
      expect((await entryAt(staging))?.options).toContain('rw');
      for (const path of [at('pod'), staging]) await mounts.unmountAll(path);
    });

    test('of a device node shows the device, is no mount of it and claims nothing', async () => {
      const { mounts, device } = rig();
      await mounts.makeFile(at('node'));
      expect(await mounts.bindMount(device, at('node'), false)).toEqual({ ok: true });
      expect(await mounts.blockDeviceNumbers(at('node'))).toEqual(await numbers(device));
      const entry = await entryAt(at('node'));
      expect(entry).toBeDefined();
      expect(entry).not.toMatchObject(await numbers(device));
      expect(await isBusy()).toBe(false);
      await mounts.unmountAll(at('node'));
      expect(await mounts.blockDeviceNumbers(at('node'))).toBeUndefined();
    });

    test('needs a place of its own kind', async () => {
      const { mounts, device, dir } = rig();
      await mounts.makeDirectory(at('directory'));
      await mounts.makeFile(at('file'));
      expect((await mounts.bindMount(device, at('directory'), false)).ok).toBe(false);
      expect((await mounts.bindMount(dir, at('file'), false)).ok).toBe(false);
      expect((await mounts.bindMount(device, at('missing'), false)).ok).toBe(false);
      for (const name of ['directory', 'file']) expect(await entryAt(at(name))).toBeUndefined();
    });

    test('stacks, and one call takes all of them away', async () => {
      const { mounts } = rig();
      const staging = await mounted();
      await mounts.makeDirectory(at('pod'));
      for (let i = 0; i < 3; i += 1) await mounts.bindMount(staging, at('pod'), false);
      expect(await mounts.unmountAll(at('pod'))).toEqual({ ok: true });
      expect(await entryAt(at('pod'))).toBeUndefined();
      await mounts.unmountAll(staging);
    });
  });

  describe('a place', () => {
    test('is made as often as one likes, and removed while it is empty', async () => {
      const { mounts } = rig();
      for (let i = 0; i < 2; i += 1) await mounts.makeDirectory(at('a/b'));
      for (let i = 0; i < 2; i += 1) await mounts.makeFile(at('a/file'));
      expect((await mounts.removePlace(at('a'))).ok).toBe(false);
      for (const name of ['a/b', 'a/file', 'a', 'a']) {
        expect(await mounts.removePlace(at(name))).toEqual({ ok: true });
      }
    });

    test('that is an empty directory gives way to a file', async () => {
      const { mounts, device } = rig();
      await mounts.makeDirectory(at('node'));
      await mounts.makeFile(at('node'));
      expect(await mounts.bindMount(device, at('node'), false)).toEqual({ ok: true });
      await mounts.unmountAll(at('node'));
    });

    test('with content, or with a mount on it, stays', async () => {
      const { mounts } = rig();
      await rig().putFile(at('full'));
      expect((await mounts.removePlace(at('full'))).ok).toBe(false);
      const staging = await mounted();
      expect((await mounts.removePlace(staging)).ok).toBe(false);
      await mounts.unmountAll(staging);
      await mounts.makeDirectory(at('other/inside'));
      await expect(mounts.makeFile(at('other'))).rejects.toThrow();
      await expect(mounts.makeDirectory(at('full'))).rejects.toThrow();
      await expect(mounts.makeFile(at('nowhere/file'))).rejects.toThrow();
    });
  });
}
