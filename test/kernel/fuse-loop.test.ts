/** FUSE + loop on the real kernel, over a source in RAM. Needs root. */
import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { exec } from '../../src/host/exec.ts';
import type { BlockExporter, ExportedDevice } from '../../src/ports/block.ts';
import { RamSource } from './fuse-loop-ram.ts';
import {
  MIB,
  attach,
  attribute,
  fio,
  footprint,
  removeFolder,
  run,
  temporaryFolder,
} from './fuse-loop-support.ts';

let folder: string;
let exporter: BlockExporter;
let devices: { device: ExportedDevice; source: RamSource }[];
let mounted: string[];
let log: string[];

beforeEach(async () => {
  folder = await temporaryFolder();
  log = [];
  exporter = createFuseLoopExporter({ runDir: join(folder, 'run'), log: (line) => log.push(line) });
  devices = [];
  mounted = [];
});

afterEach(async () => {
  for (const path of mounted) await exec('umount', [path]);
  for (const { device, source } of devices) {
    source.failing.clear();
    source.letGo();
    await device.detach({ force: true });
  }
  const left = await footprint(folder);
  await removeFolder(folder);
  expect({ mounts: left.mounts, loops: left.loops }).toEqual({ mounts: 0, loops: 0 });
  expect(devices.flatMap(({ source }) => source.violations)).toEqual([]);
  expect(log).toEqual([]);
});

async function make(source: RamSource): Promise<ExportedDevice> {
  const device = await attach(exporter, `pv-${devices.length}`, source);
  devices.push({ device, source });
  return device;
}

async function mountExt4(device: ExportedDevice): Promise<string> {
  await run('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', device.path);
  const path = join(folder, 'mnt');
  mkdirSync(path);
  await run('mount', device.path, path);
  mounted.push(path);
  return path;
}

async function unmount(path: string): Promise<void> {
  await run('umount', path);
  mounted = mounted.filter((other) => other !== path);
}

describe('a device', () => {
  it('shows nothing where a source is done with a read and never asked for its memory', async () => {
    const properties = { sizeBytes: MIB, blockSize: 512, readOnly: false, volatileCache: false };
    const device = await attach(exporter, 'pv-mute', {
      ...properties,
      ...{ canDiscard: false, canWriteZeroes: false },
      submit: ({ done }) => setImmediate(done, undefined),
    });
    // The file itself: loop makes an error of an answer without data, too.
    const file = await attribute(device.path, 'loop/backing_file');
    const read = await exec('dd', [`if=${file}`, 'of=/dev/null', 'bs=4k', 'iflag=direct']);
    expect(read.code).toBe(1);
    expect(read.stderr).toContain('Input/output error');
    expect(await device.detach({ force: true })).toMatchObject({ ok: true });
  });

  it('passes the preflight here', async () => {
    expect(await exporter.preflight()).toEqual({ ok: true, value: undefined });
  });

  it('is served before mount(8) has ended, which looks at it first', async () => {
    const script = join(folder, 'mount');
    const looked = join(folder, 'looked');
    const real = (await run('which', 'mount')).trim();
    // That of fusectl has no disk.
    const look = `for last; do :; done; stat -c %s "$last/disk" >> ${looked}; sleep 0.2; exit 0`;
    await writeFile(script, `#!/bin/sh\nsleep 0.2\n${real} "$@" || exit 1\n${look}\n`, {
      mode: 0o755,
    });
    const { PATH } = process.env;
    onTestFinished(() => void (process.env['PATH'] = PATH));
    process.env['PATH'] = `${folder}:${String(PATH)}`;
    const device = await make(new RamSource({ sizeBytes: MIB }));
    process.env['PATH'] = PATH;
    expect(await readFile(looked, 'utf8')).toBe(`${String(MIB)}\n`);
    await run('dd', 'if=/dev/zero', `of=${device.path}`, 'bs=64k', 'count=4', 'oflag=direct');
  });

  it.each([512, 4096] as const)('holds a file system that verifies, blocks of %i', async (size) => {
    const source = new RamSource({ sizeBytes: 128 * MIB, blockSize: size });
    const device = await make(source);
    expect(await attribute(device.path, 'queue/logical_block_size')).toBe(String(size));
    expect(await attribute(device.path, 'queue/scheduler')).toContain('[none]');
    expect(await attribute(device.path, 'loop/dio')).toBe('1');
    const path = await mountExt4(device);
    const done = await fio(
      join(path, 'file'),
      ...['rw=randrw', 'bsrange=4k-1m', 'size=48m', 'iodepth=16', 'verify=crc32c', 'fsync=32'],
      ...['verify_fatal=1', 'do_verify=1', 'fallocate=none'],
    );
    expect(done.code, done.stderr + done.stdout).toBe(0);
    await writeFile(join(path, 'buffered'), randomBytes(3 * MIB));
    await unmount(path);
    await run('e2fsck', '-fn', device.path);
    expect(source.largestRequestBytes).toBeGreaterThanOrEqual(256 * 1024);
    expect(await device.detach({ force: false })).toEqual({ ok: true, value: undefined });
  });

  it('sees unaligned direct I/O of a smaller block refused by the kernel, not passed on', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB, blockSize: 4096 });
    const device = await make(source);
    const done = await exec('dd', [
      `if=${device.path}`,
      'of=/dev/null',
      'bs=512',
      'count=1',
      'iflag=direct',
    ]);
    expect(done.stderr).toMatch(/Invalid argument/);
    // Buffered access of any size becomes whole blocks.
    await run('dd', 'if=/dev/urandom', `of=${device.path}`, 'bs=700', 'count=3', 'conv=fsync');
    expect(source.violations).toEqual([]);
  });

  it('reads back what is in the source and writes what it is given', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB });
    randomBytes(16 * MIB).copy(source.memory);
    const device = await make(source);
    const read = await readFile(device.path);
    expect(read.equals(source.memory)).toBe(true);
    const written = randomBytes(4 * MIB);
    await writeFile(join(folder, 'data'), written);
    await run('dd', `if=${join(folder, 'data')}`, `of=${device.path}`, 'bs=1M', 'oflag=direct');
    expect(source.memory.subarray(0, 4 * MIB).equals(written)).toBe(true);
  });

  it('keeps a large write untouched until the source is done with it', async () => {
    const source = new RamSource({ sizeBytes: 64 * MIB });
    source.delayMs = 20;
    const device = await make(source);
    const done = await fio(
      device.path,
      ...['rw=write', 'bs=1m', 'size=64m', 'iodepth=32', 'verify=crc32c', 'do_verify=1'],
    );
    expect(done.code, done.stderr).toBe(0);
  });

  it('is read-only when the source is', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB, readOnly: true });
    const device = await make(source);
    expect(await attribute(device.path, 'ro')).toBe('1');
    const written = await exec('dd', [
      'if=/dev/zero',
      `of=${device.path}`,
      'count=1',
      'oflag=direct',
    ]);
    expect(written.code).not.toBe(0);
    await run('dd', `if=${device.path}`, 'of=/dev/null', 'bs=1M');
    expect(source.counts.write).toBe(0);
    expect(await device.detach({ force: false })).toEqual({ ok: true, value: undefined });
  });
});

describe('flush', () => {
  it('reaches the source on fsync, and its error reaches the caller of fsync', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB });
    const device = await make(source);
    const handle = await open(device.path, 'r+');
    try {
      await handle.write(Buffer.alloc(4096, 1));
      const before = source.counts.flush;
      await handle.sync();
      expect(source.counts.flush).toBe(before + 1);
      source.failing.set('flush', 'EIO');
      await expect(handle.sync()).rejects.toMatchObject({ code: 'EIO' });
      source.failing.clear();
      await handle.sync();
    } finally {
      await handle.close();
    }
  });

  it('reaches the source even if the last user of the loop device switched its cache off', async () => {
    const first = await make(new RamSource({ sizeBytes: 16 * MIB }));
    const name = first.path.replace('/dev/', '');
    await writeFile(`/sys/block/${name}/queue/write_cache`, 'write through');
    await first.detach({ force: false });
    const source = new RamSource({ sizeBytes: 16 * MIB });
    const second = await make(source);
    const before = source.counts.flush;
    await run('dd', 'if=/dev/zero', `of=${second.path}`, 'bs=4k', 'count=1', 'conv=fsync');
    expect(source.counts.flush).toBe(before + 1);
  });

  it('precedes the detach, which is refused when it fails', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB });
    const device = await make(source);
    source.failing.set('flush', 'EIO');
    expect(await device.detach({ force: false })).toMatchObject({
      ok: false,
      error: { kind: 'io' },
    });
    source.failing.clear();
    expect(await device.detach({ force: false })).toEqual({ ok: true, value: undefined });
    expect(source.counts.flush).toBeGreaterThan(0);
  });
});

describe('errors', () => {
  it('reach the reader and the writer', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB });
    const device = await make(source);
    source.failing.set('write', 'ENOSPC').set('read', 'EIO');
    const write = await exec('dd', [
      'if=/dev/zero',
      `of=${device.path}`,
      'bs=4k',
      'count=1',
      'oflag=direct',
    ]);
    expect(write.stderr).toMatch(/No space left|Input\/output error/);
    const read = await exec('dd', [
      `if=${device.path}`,
      'of=/dev/null',
      'bs=4k',
      'count=1',
      'iflag=direct',
    ]);
    expect(read.stderr).toMatch(/Input\/output error/);
  });
});

describe('discard and write-zeroes', () => {
  it('reach the source and read back as zeros', async () => {
    const source = new RamSource({ sizeBytes: 16 * MIB });
    source.memory.fill(0xaa);
    const device = await make(source);
    await run('blkdiscard', '-o', '0', '-l', String(MIB), device.path);
    expect(source.counts).toMatchObject({ discard: 1, 'write-zeroes': 0 });
    await run('blkdiscard', '-z', '-o', String(MIB), '-l', String(MIB), device.path);
    expect(source.counts).toMatchObject({ discard: 1, 'write-zeroes': 1, write: 0 });
    const read = await readFile(device.path);
    expect(read.subarray(0, 2 * MIB).every((byte) => byte === 0)).toBe(true);
    expect(read.subarray(2 * MIB).every((byte) => byte === 0xaa)).toBe(true);
  });

  it('come from fstrim', async () => {
    const source = new RamSource({ sizeBytes: 64 * MIB });
    const path = await mountExt4(await make(source));
    const before = source.counts.discard;
    await run('fstrim', path);
    expect(source.counts.discard).toBeGreaterThan(before);
  });

  it('are refused, and zeroing still zeroes, where the volume has neither', async () => {
    const source = new RamSource({
      sizeBytes: 16 * MIB,
      canDiscard: false,
      canWriteZeroes: false,
    });
    source.memory.fill(0xaa);
    const device = await make(source);
    // A discard is advice: the kernel reports success although it was refused.
    await run('blkdiscard', device.path);
    expect(source.memory.every((byte) => byte === 0xaa)).toBe(true);
    await run('blkdiscard', '-z', '-o', '0', '-l', String(MIB), device.path);
    expect(source.counts).toMatchObject({ discard: 0, 'write-zeroes': 0 });
    expect(source.memory.subarray(0, MIB).every((byte) => byte === 0)).toBe(true);
    expect(source.memory[MIB]).toBe(0xaa);
  });
});

describe('resize', () => {
  it('takes effect online, under write load, and the new blocks work', async () => {
    const source = new RamSource({ sizeBytes: 32 * MIB });
    const device = await make(source);
    const path = await mountExt4(device);
    const load = fio(
      join(path, 'file'),
      ...['rw=randwrite', 'bs=4k', 'size=8m', 'iodepth=8'],
      ...['time_based', 'runtime=2'],
    );
    await delay(500);
    source.grow(64 * MIB);
    expect(await device.resize()).toEqual({ ok: true, value: undefined });
    expect(await attribute(device.path, 'size')).toBe(String((64 * MIB) / 512));
    expect((await load).code).toBe(0);
    // Growing a mounted ext4 needs CAP_SYS_RESOURCE, which not every test machine gives.
    await unmount(path);
    await run('e2fsck', '-fy', device.path);
    await run('resize2fs', device.path);
    await run('mount', device.path, path);
    mounted.push(path);
    await writeFile(join(path, 'more'), randomBytes(30 * MIB));
    await unmount(path);
    await run('e2fsck', '-fn', device.path);
  });

  it('refuses to shrink', async () => {
    const source = new RamSource({ sizeBytes: 32 * MIB });
    const device = await make(source);
    source.sizeBytes = 16 * MIB;
    expect(await device.resize()).toMatchObject({ ok: false, error: { kind: 'unsupported' } });
  });
});
