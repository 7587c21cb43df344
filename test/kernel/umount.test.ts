/** umount(8) of a filesystem that answers nothing: the pod on it can be taken away all the same. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findByMountPoint, readMountInfo } from '../../src/host/mount/mountinfo.ts';
import { unmountAll } from '../../src/host/mount/mount.ts';

test('a filesystem that does not answer is unmounted without being looked at', async () => {
  const target = mkdtempSync('/dev/shm/umount-');
  const isMounted = async (): Promise<boolean> =>
    findByMountPoint(await readMountInfo(), target) !== undefined;
  // Nobody reads it: not even INIT is answered.
  const fuse = openSync('/dev/fuse', 'r+');
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const args = ['-i', '-t', 'fuse', '-o', options, 'silent', target];
  const mounting = spawn('mount', args, { stdio: ['ignore', 'ignore', 'ignore', fuse] });
  try {
    await expect.poll(isMounted, { timeout: 5_000 }).toBe(true);
    const from = performance.now();
    expect(await unmountAll(target, 3_000)).toEqual({ ok: true, value: undefined });
    expect(performance.now() - from).toBeLessThan(1_000);
    expect(await isMounted()).toBe(false);
  } finally {
    mounting.kill('SIGKILL');
    closeSync(fuse);
    if (await isMounted()) spawnSync('umount', ['-i', '-c', '-l', target]);
    rmSync(target, { recursive: true, force: true });
  }
});
