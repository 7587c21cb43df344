/** How a FUSE + loop device goes away: asked nicely, by force, and after a kill. Needs root. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { exec } from '../../src/host/exec.ts';
import type { BlockExporter } from '../../src/ports/block.ts';
import { RamSource } from './fuse-loop-ram.ts';
import {
  MIB,
  attach,
  fio,
  footprint,
  removeFolder,
  run,
  temporaryFolder,
} from './fuse-loop-support.ts';

const DONE = { ok: true, value: undefined };
const CHILD = join(import.meta.dirname, 'fuse-loop-child.ts');

let folder: string;
let runDir: string;
let exporter: BlockExporter;
let mountPoint: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  runDir = join(folder, 'run');
  mountPoint = join(folder, 'mnt');
  mkdirSync(mountPoint);
  exporter = createFuseLoopExporter({ runDir });
});

afterEach(async () => {
  await exec('umount', [mountPoint]);
  for (const { volumeId } of await exporter.list()) await exporter.cleanUp(volumeId);
  const left = await footprint(folder);
  await removeFolder(folder);
  expect({ mounts: left.mounts, loops: left.loops }).toEqual({ mounts: 0, loops: 0 });
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if (await holds()) return;
    await delay(10);
  }
  throw new Error('did not happen within 5 s');
}

describe('detach', () => {
  it('is refused while a file system is mounted, and names the mount point', async () => {
    const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: 32 * MIB }));
    await run('mkfs.ext4', '-q', '-F', device.path);
    await run('mount', device.path, mountPoint);
    const refused = await device.detach({ force: false });
    expect(refused).toMatchObject({ ok: false, error: { kind: 'busy' } });
    expect(refused.ok ? '' : refused.error.detail).toContain(`mounted at ${mountPoint}`);
    await run('umount', mountPoint);
    expect(await device.detach({ force: false })).toEqual(DONE);
    expect(await device.detach({ force: false })).toEqual(DONE);
  });

  it('is refused while a process has the device open, and names the process', async () => {
    const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: 16 * MIB }));
    const handle = await open(device.path, 'r');
    const refused = await device.detach({ force: false });
    expect(refused.ok ? '' : refused.error.detail).toContain(`opened by pid ${process.pid} (`);
    await handle.close();
    expect(await device.detach({ force: false })).toEqual(DONE);
  });

  it('is nothing that others can do, so that its number never comes to belong to somebody else', async () => {
    const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: MIB }));
    await run('losetup', '--detach', device.path);
    expect(await footprint(runDir)).toMatchObject({ loops: 1 });
    const file = join(folder, 'foreign');
    await run('truncate', '--size=1M', file);
    expect((await exec('losetup', [device.path, file])).stderr).toContain('busy');
    expect(await device.resize()).toEqual(DONE);
    expect(await device.detach({ force: false })).toEqual(DONE);
    expect(await footprint(runDir)).toMatchObject({ loops: 0 });
  });

  it('writes the page cache back first', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB });
    const device = await attach(exporter, 'pv', source);
    await run('dd', 'if=/dev/urandom', `of=${device.path}`, 'bs=1M', 'count=4', 'status=none');
    expect(await device.detach({ force: false })).toEqual(DONE);
    expect(source.memory.subarray(4 * MIB - 512, 4 * MIB).some((byte) => byte !== 0)).toBe(true);
    expect(source.counts.flush).toBeGreaterThan(0);
  });

  it('leaves nothing behind in 30 rounds', async () => {
    const round = async (): Promise<void> => {
      const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: MIB }));
      await run('dd', 'if=/dev/zero', `of=${device.path}`, 'bs=64k', 'count=4', 'oflag=direct');
      expect(await device.detach({ force: false })).toEqual(DONE);
    };
    await round(); // what is made once: threads, cached buffers
    const before = await footprint(folder);
    for (let count = 0; count < 30; count++) await round();
    expect(await footprint(folder)).toEqual(before);
    expect(await exporter.list()).toEqual([]);
  });

  it('refuses a second attach of the same volume', async () => {
    const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: MIB }));
    const second = await exporter.attach('pv', new RamSource({ sizeBytes: MIB }));
    expect(second).toMatchObject({ ok: false, error: { kind: 'busy' } });
    expect(await exporter.cleanUp('pv')).toMatchObject({ ok: false, error: { kind: 'busy' } });
    expect(await device.detach({ force: false })).toEqual(DONE);
  });

  it('serves one of two attaches of a volume at the same time, and refuses the other', async () => {
    const attempts = await Promise.all(
      [1, 2].map(() => exporter.attach('pv', new RamSource({ sizeBytes: MIB }))),
    );
    const devices = attempts.filter((attempt) => attempt.ok);
    expect(devices.length).toBe(1);
    for (const { value } of devices) expect(await value.detach({ force: false })).toEqual(DONE);
  });

  it.each(['', '..', 'a/b', '.hidden', 'x\0'])('takes %j for no volume id', async (volumeId) => {
    await expect(exporter.cleanUp(volumeId)).rejects.toThrow(/is a file name/);
  });
});

describe('detach by force', () => {
  it('fails pending I/O promptly, and a late answer of the source harms nobody', async () => {
    const source = new RamSource({ sizeBytes: 32 * MIB });
    const device = await attach(exporter, 'pv', source);
    source.hold = true;
    const load = fio(device.path, 'rw=randwrite', 'bs=4k', 'iodepth=32', 'size=32m');
    await until(() => source.heldBack.length >= 32);
    const start = performance.now();
    expect(await device.detach({ force: true })).toEqual(DONE);
    expect(performance.now() - start).toBeLessThan(3000);
    expect((await load).stdout).toMatch(/Input\/output error|err= *5/);
    source.letGo();
    await until(async () => (await footprint(folder)).loops === 0);
    expect(await exporter.cleanUp('pv')).toEqual(DONE);
  });

  it('does not hang behind the memory bound', async () => {
    const source = new RamSource({ sizeBytes: 128 * MIB });
    const device = await attach(exporter, 'pv', source);
    source.hold = true;
    const load = fio(device.path, 'rw=write', 'bs=1m', 'iodepth=64', 'size=128m');
    await until(() => source.heldBack.length >= 8);
    await delay(200);
    // 16 MiB is what the kernel was told to ask for at most.
    const heldBytes = source.heldBack.reduce((sum, { length }) => sum + length, 0);
    expect(heldBytes).toBeLessThanOrEqual(18 * MIB);
    expect(await device.detach({ force: true })).toEqual(DONE);
    expect((await load).code).not.toBe(0);
    source.letGo();
  });

  it('overtakes a detach that waits for a dead volume', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB });
    const device = await attach(exporter, 'pv', source);
    source.hold = true;
    const polite = device.detach({ force: false });
    await until(() => source.heldBack.length > 0);
    expect(await device.detach({ force: true })).toEqual(DONE);
    expect((await polite).ok).toBeTypeOf('boolean');
    source.letGo();
  });

  it('of a mounted device lets it go when it is unmounted', async () => {
    const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: 32 * MIB }));
    await run('mkfs.ext4', '-q', '-F', device.path);
    await run('mount', device.path, mountPoint);
    expect(await device.detach({ force: true })).toEqual(DONE);
    const busy = await exporter.attach('pv', new RamSource({ sizeBytes: 32 * MIB }));
    expect(busy.ok ? '' : busy.error.detail).toContain(`mounted at ${mountPoint}`);
    await run('umount', mountPoint);
    await until(async () => (await footprint(folder)).loops === 0);
    const again = await attach(exporter, 'pv', new RamSource({ sizeBytes: MIB }));
    expect(await again.detach({ force: false })).toEqual(DONE);
  });
});

describe.each(['polled', 'parked'])('a process that serves, reads are %s,', (reading) => {
  async function serve(mode: string): Promise<{ child: ChildProcess; path: string }> {
    const child = spawn(process.execPath, [CHILD, runDir, mode, reading], {
      stdio: ['ignore', 'pipe', mode === 'throw' ? 'ignore' : 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, path: line.toString().trim() };
  }

  it.each([
    ['detach', 0],
    ['detach-and-exit', 7],
    ['exit', 7],
    ['dirty-exit', 7],
    ['throw', 1],
  ])('does not hang on its way out: %s', async (mode, expected) => {
    const { child } = await serve(mode);
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    const [code] = (await once(child, 'exit')) as [number | null];
    clearTimeout(timer);
    expect(code).toBe(expected);
    expect(await exporter.cleanUp('pv')).toEqual(DONE);
  });

  it('killed, leaves a device that cleanUp takes away', async () => {
    const { child, path } = await serve('stay');
    expect(await exporter.cleanUp('pv')).toMatchObject({ ok: false, error: { kind: 'busy' } });
    const verified = await fio(
      path,
      ...['rw=randrw', 'bsrange=4k-1m', 'size=32m', 'iodepth=16', 'verify=crc32c', 'do_verify=1'],
    );
    expect(verified).toMatchObject({ code: 0 });
    const load = fio(path, 'rw=randwrite', 'bs=4k', 'iodepth=32', 'time_based', 'runtime=20');
    await delay(500);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await load).stdout).toMatch(/Input\/output error|err= *5/);
    expect(await exporter.list()).toEqual([{ volumeId: 'pv', path }]);
    expect(await exporter.cleanUp('pv')).toEqual(DONE);
    expect(await exporter.cleanUp('pv')).toEqual(DONE);
    expect(await footprint(folder)).toMatchObject({ mounts: 0, loops: 0 });
    expect(await exporter.list()).toEqual([]);
  });

  it('killed while the page cache of its device is dirty, ends all the same', async () => {
    const { child, path } = await serve('stay');
    await run('dd', 'if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=32', 'conv=notrunc');
    child.kill('SIGKILL');
    // Not before its last thread has ended.
    const ended = once(child, 'exit');
    const first = await Promise.race([ended, delay(10_000)]);
    if (first === undefined) await exec('umount', ['-i', '-c', '-f', `${runDir}/pv/fuse`]);
    expect(first).toEqual([null, 'SIGKILL']);
    expect(await exporter.cleanUp('pv')).toEqual(DONE);
  });

  it('killed while a change of the block size waits for requests that it holds, ends all the same', async () => {
    const { child, path } = await serve('hold');
    const reading = exec('dd', [`if=${path}`, 'of=/dev/null', 'bs=4k', 'count=1', 'iflag=direct']);
    await delay(300);
    const changing = exec('losetup', ['--sector-size=4096', path]);
    await delay(1000);
    child.kill('SIGKILL');
    const first = await Promise.race([once(child, 'exit'), delay(10_000)]);
    if (first === undefined) await exec('umount', ['-i', '-c', '-f', `${runDir}/pv/fuse`]);
    expect(first).toEqual([null, 'SIGKILL']);
    await Promise.all([reading, changing]);
    expect(await exporter.cleanUp('pv')).toEqual(DONE);
  });

  it('killed under a mounted file system, leaves a device that is busy until it is unmounted', async () => {
    const { child, path } = await serve('stay');
    await run('mkfs.ext4', '-q', '-F', path);
    await run('mount', path, mountPoint);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const busy = await exporter.cleanUp('pv');
    expect(busy).toMatchObject({ ok: false, error: { kind: 'busy' } });
    expect(busy.ok ? '' : busy.error.detail).toContain(`mounted at ${mountPoint}`);
    await run('umount', mountPoint);
    expect(await exporter.cleanUp('pv')).toEqual(DONE);
    expect(await footprint(folder)).toMatchObject({ mounts: 0, loops: 0 });
  });
});
