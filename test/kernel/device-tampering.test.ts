/**
 * A pod without any capability and the ioctls of the loop driver: each of them on a device of ours, then
 * the whole plugin in the order of the kubelet. Needs root.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { exec } from '../../src/host/exec.ts';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import type { BlockExporter, ExportedDevice } from '../../src/ports/block.ts';
import { CsiBench, EXT4_BYTES, refusal } from '../support/node/csi-bench.ts';
import { blockCapability, mountCapability } from '../support/node/kubelet.ts';
import { loopIoctl, PARTSCAN } from '../support/node/loop-ioctl.ts';
import { Rig } from '../support/node/rig.ts';
import { RamSource } from './fuse-loop-ram.ts';
import {
  MIB,
  attach,
  attribute,
  footprint,
  removeFolder,
  run,
  temporaryFolder,
} from './fuse-loop-support.ts';

const DONE = { ok: true, value: undefined };
const FINE = { kind: 'fine' };

describe('a device', () => {
  let folder: string;
  let exporter: BlockExporter;
  let device: ExportedDevice;

  const make = async (readOnly = false): Promise<void> => {
    device = await attach(exporter, 'pv', new RamSource({ sizeBytes: 16 * MIB, readOnly }));
    expect(await device.inspect()).toEqual(FINE);
  };

  beforeEach(async () => {
    folder = await temporaryFolder();
    exporter = createFuseLoopExporter({ runDir: join(folder, 'run') });
  });

  afterEach(async () => {
    await device.detach({ force: true });
    await exporter.cleanUp('pv');
    const left = await footprint(folder);
    await removeFolder(folder);
    expect({ mounts: left.mounts, loops: left.loops }).toEqual({ mounts: 0, loops: 0 });
  });

  it('stays, and its number too, when its detach is asked for; that is told once', async () => {
    await make();
    await loopIoctl(device.path, 'clear');
    expect(await attribute(device.path, 'loop/backing_file')).toBe(device.backingFile);
    expect(await device.inspect()).toMatchObject({ kind: 'restored' });
    expect(await device.inspect()).toEqual(FINE);
    const file = join(folder, 'foreign');
    writeFileSync(file, Buffer.alloc(MIB));
    const other = (await run('losetup', '--find', '--show', file)).trim();
    await run('losetup', '--detach', other);
    expect(other).not.toBe(device.path);
    expect(await device.detach({ force: false })).toEqual(DONE);
  });

  it('gets its direct I/O back, three times; then it is lost', async () => {
    await make();
    for (let round = 1; round <= 3; round++) {
      await loopIoctl(device.path, 'direct-io', 0);
      expect(await attribute(device.path, 'loop/dio')).toBe('0');
      expect(await device.inspect()).toMatchObject({ kind: 'restored' });
      expect(await attribute(device.path, 'loop/dio')).toBe('1');
      expect(await device.inspect()).toEqual(FINE);
    }
    await loopIoctl(device.path, 'direct-io', 0);
    expect(await device.inspect()).toMatchObject({ kind: 'lost' });
  });

  it('gets its block size back', async () => {
    await make();
    await loopIoctl(device.path, 'block-size', 4096);
    expect(await attribute(device.path, 'queue/logical_block_size')).toBe('4096');
    expect(await device.inspect()).toMatchObject({ kind: 'restored' });
    expect(await attribute(device.path, 'queue/logical_block_size')).toBe('512');
  });

  it('is not changed by being asked for its size', async () => {
    await make();
    await loopIoctl(device.path, 'capacity');
    expect(await device.inspect()).toEqual(FINE);
    expect(await attribute(device.path, 'size')).toBe(String((16 * MIB) / 512));
  });

  it.each([
    ['offset', 4096, /offset 4096/],
    ['size-limit', 4096, /size limit 4096/],
    ['flags', PARTSCAN, /PARTSCAN/],
  ] as const)('is lost by a new %s', async (what, value, why) => {
    await make();
    await loopIoctl(device.path, what, value);
    const text: unknown = expect.stringMatching(why);
    expect(await device.inspect()).toEqual({ kind: 'lost', why: text });
  });

  it('read-only, is lost by another file behind it', async () => {
    await make(true);
    const file = join(folder, 'foreign');
    writeFileSync(file, Buffer.alloc(16 * MIB));
    await loopIoctl(device.path, 'change-file', file);
    expect(await device.inspect()).toEqual({
      kind: 'lost',
      why: `${device.path} shows ${file}, not ${device.backingFile} (LOOP_CHANGE_FD)`,
    });
  });

  it('read-only, is lost by another file whose path in its container reads the same', async () => {
    await make(true);
    const fuse = dirname(device.backingFile);
    const script = `mount -t tmpfs none ${fuse} && truncate -s 16M ${fuse}/disk && echo && sleep 60`;
    const container = spawn('unshare', ['--mount', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    try {
      await once(container.stdout, 'data');
      const inside = ['nsenter', `--mount=/proc/${String(container.pid)}/ns/mnt`, '--'];
      await loopIoctl(device.path, 'change-file', device.backingFile, inside);
      expect(await attribute(device.path, 'loop/backing_file')).toBe(device.backingFile);
      const verdict = await vi.waitUntil(async () => {
        const now = await device.inspect();
        return now.kind === 'fine' ? undefined : now;
      });
      const why = `${device.path} shows another file than the volume's (LOOP_CHANGE_FD)`;
      expect(verdict).toEqual({ kind: 'lost', why });
    } finally {
      process.kill(-(container.pid ?? NaN), 'SIGKILL');
    }
  });
});

describe('in the order of the kubelet', () => {
  let rig: Rig | undefined;
  afterEach(async () => {
    await rig?.close();
    rig = undefined;
  });

  it('a pod that frees the device of its volume frees nothing: its successor reads the same unit', async () => {
    rig = await Rig.start({ targets: 1 });
    await rig.stage(blockCapability());
    await rig.publish();
    const { device } = await rig.status();
    await run('dd', 'if=/dev/urandom', `of=${rig.path}`, 'bs=1M', 'count=2', 'oflag=direct');
    await loopIoctl(rig.path, 'clear');
    await rig.unpublish();
    // The next volume of the node, before anybody publishes again.
    const file = join(rig.folder, 'next');
    writeFileSync(file, Buffer.alloc(MIB));
    const next = (await run('losetup', '--find', '--show', file)).trim();
    try {
      expect(next).not.toBe(device);
      await rig.publish();
      const read = await run('cmp', '--bytes=2097152', rig.path, rig.backingFile);
      expect(read).toBe('');
    } finally {
      await run('losetup', '--detach', next);
    }
  });

  it('a pod that shifts its device fails its volume, and that is told', async () => {
    rig = await Rig.start({ targets: 1 });
    await rig.stage(blockCapability());
    await rig.publish();
    await loopIoctl(rig.path, 'offset', 4096);
    const { reason } = await rig.until('the watch has seen it', ({ state }) => state === 'failed');
    expect(reason).toMatch(/tampered with: .*offset 4096/);
    expect(rig.log).toContain('device was tampered with');
    const write = ['if=/dev/zero', `of=${rig.path}`, 'bs=4k', 'count=1', 'oflag=direct'];
    expect((await exec('dd', write)).stderr).toContain('Input/output error');
    await rig.unpublish();
    await rig.unstage();
    await rig.stage(blockCapability());
    await rig.publish();
    expect((await exec('dd', write)).code).toBe(0);
  });

  it('what was written and not synced survives the end of a pathd with healthy paths', async () => {
    rig = await Rig.start({ targets: 1 });
    await rig.stage(mountCapability());
    await rig.publish();
    writeFileSync(`${rig.path}/data`, Buffer.alloc(8 * MIB, 7));
    await rig.plugin.pathd.stop(40_000);
    await rig.unpublish();
    await rig.plugin.startPathd();
    await rig.unstage();
    await rig.stage(mountCapability());
    await rig.publish();
    expect(readFileSync(`${rig.path}/data`).equals(Buffer.alloc(8 * MIB, 7))).toBe(true);
  });
});

describe('csi, where a device has come to be another volume’s all the same', () => {
  let bench: CsiBench;
  afterEach(() => bench.close());

  it('publishes it to nobody, says so in the stats, and unstages without touching it', async () => {
    bench = await CsiBench.open();
    await bench.stage('pv-1', blockCapability());
    await bench.publish('pv-1', blockCapability());
    const device = bench.device('pv-1');
    await run('losetup', '--detach', device);
    const foreign = join(bench.dir, 'foreign');
    writeFileSync(foreign, Buffer.alloc(MIB));
    await run('losetup', device, foreign);

    const message: unknown = expect.stringContaining(`shows ${foreign}, not`);
    const refused = { code: 'FAILED_PRECONDITION', message };
    for (const pod of ['pod-1', 'pod-2']) {
      const call = bench.publish('pv-1', blockCapability(), pod);
      expect(await refusal(call)).toMatchObject(refused);
    }
    const at = { volumeId: 'pv-1', volumePath: bench.target() };
    expect(await refusal(bench.kubelet.expand(at))).toMatchObject(refused);
    const stats = await bench.kubelet.stats(at);
    expect(stats.usage[0]?.total).toBe(EXT4_BYTES);
    expect(stats).toMatchObject({ volumeCondition: { abnormal: true, message } });
    await bench.unpublish('pv-1');
    // As another pod that has it mounted: none of this volume's business.
    const other = await open(device, constants.O_RDONLY | constants.O_EXCL);
    await bench.unstage('pv-1');
    await other.close();
    expect(await attribute(device, 'loop/backing_file')).toBe(foreign);
    await run('losetup', '--detach', device);
  });
});
