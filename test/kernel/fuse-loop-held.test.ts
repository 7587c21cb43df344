/** What still answers while data is held back, and while a server hangs. Needs root. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { findUsers } from '../../src/host/mount/device-users.ts';
import { exec } from '../../src/host/exec.ts';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { LEAST_REQUESTS } from '../../src/host/block/unanswered-data.ts';
import type { BlockExporter } from '../../src/ports/block.ts';
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

const CHILD = join(import.meta.dirname, 'fuse-loop-child.ts');
const SOON = { timeoutMs: 5_000 };
const SLOW = { timeout: 10_000 };

let folder: string;
let exporter: BlockExporter;

beforeEach(async () => {
  folder = await temporaryFolder();
  exporter = createFuseLoopExporter({ runDir: join(folder, 'run') });
});

afterEach(async () => {
  const left = await footprint(folder);
  await removeFolder(folder);
  expect({ mounts: left.mounts, loops: left.loops }).toEqual({ mounts: 0, loops: 0 });
});

it('stat and losetup answer while every write that the kernel may have under way is held', async () => {
  const source = new RamSource({ sizeBytes: 256 * MIB });
  const device = await attach(exporter, 'pv', source);
  source.hold = true;
  const load = fio(device.path, ...['rw=write', 'bs=1m', 'size=256m', 'iodepth=128']);
  onTestFinished(() => {
    source.letGo();
  });
  const heldBytes = (): number => heldMib(source) * MIB;
  for (let last = -1, round = 0; round < 50 && heldBytes() !== last; round++) {
    last = heldBytes() || -1;
    await delay(300);
  }
  expect(heldBytes()).toBeGreaterThanOrEqual(8 * MIB);
  expect(heldBytes()).toBeLessThanOrEqual(16 * MIB);

  const file = await attribute(device.path, 'loop/backing_file');
  const asked = await exec('stat', ['--cached=never', '--format=%s', file], SOON);
  expect(asked).toMatchObject({ code: 0, stdout: `${String(256 * MIB)}\n` });
  expect(await exec('stat', [file], SOON)).toMatchObject({ code: 0 });
  expect(await exec('losetup', ['--list', device.path], SOON)).toMatchObject({ code: 0 });

  source.letGo();
  expect(await load).toMatchObject({ code: 0 });
  expect(await device.detach({ force: false })).toMatchObject({ ok: true });
});

it('a volume that comes lowers the limit of one under load; what was asked for stays, requests without data pass', async () => {
  const problems: string[] = [];
  const narrow = createFuseLoopExporter({
    ...{ runDir: join(folder, 'narrow'), unansweredBytesMax: 16 * MIB },
    ...{ volumesMax: 2, log: (line) => problems.push(line) },
  });
  const source = new RamSource({ sizeBytes: 128 * MIB });
  const device = await attach(narrow, 'pv', source);
  source.hold = true;
  const load = fio(device.path, ...['rw=randrw', 'bs=256k', 'size=128m', 'iodepth=128']);
  onTestFinished(() => {
    source.letGo();
  });
  await vi.waitFor(() => expect(source.heldBack).toHaveLength(64), SLOW);

  // The second begins with what is left of the budget (requests may be smaller than 256 KiB), and works.
  const left = Math.max(LEAST_REQUESTS, Math.floor((16 - heldMib(source)) * 4));
  const other = new RamSource({ sizeBytes: 16 * MIB });
  const neighbour = await attach(narrow, 'neighbour', other);
  await run('dd', 'if=/dev/zero', `of=${neighbour.path}`, 'bs=1M', 'oflag=direct', 'count=8');
  other.hold = true;
  const second = fio(neighbour.path, ...['rw=randwrite', 'bs=256k', 'size=16m', 'iodepth=64']);
  onTestFinished(() => {
    other.letGo();
  });
  await vi.waitFor(() => expect(other.heldBack).toHaveLength(left), SLOW);
  await delay(300);
  expect(other.heldBack).toHaveLength(left);

  // Of the first one nothing is asked for until it is below the limit that both have then.
  source.answer(34);
  await vi.waitFor(() => expect(other.heldBack.length).toBeGreaterThanOrEqual(32), SLOW);
  await delay(300);
  expect(heldMib(source) + heldMib(other)).toBeLessThanOrEqual(16);
  expect(source.heldBack.length).toBeGreaterThanOrEqual(30);
  const file = await attribute(device.path, 'loop/backing_file');
  const asked = await exec('stat', ['--cached=never', '--format=%s', file], SOON);
  expect(asked).toMatchObject({ code: 0, stdout: `${String(128 * MIB)}\n` });

  source.letGo();
  other.letGo();
  expect(await load).toMatchObject({ code: 0 });
  expect(await second).toMatchObject({ code: 0 });
  expect(await neighbour.detach({ force: false })).toMatchObject({ ok: true });
  expect(await device.detach({ force: false })).toMatchObject({ ok: true });
  expect(source.violations).toEqual([]);
  expect(problems).toEqual([]);
});

it('losetup and mkfs of a neighbour do not ask a server that hangs', async () => {
  const child = spawn(process.execPath, [CHILD, join(folder, 'hung'), 'stay'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const hung = await firstLine(child);
  const mountPoint = join(folder, 'mnt');
  mkdirSync(mountPoint);
  await run('mkfs.ext4', '-q', '-F', hung);
  await run('mount', hung, mountPoint);
  const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: 32 * MIB }));
  child.kill('SIGSTOP');
  try {
    expect(await exec('losetup', ['--list'], SOON)).toMatchObject({ code: 0 });
    for (const [program, ...args] of [
      ['mkfs.ext4', '-q', '-F'],
      ['fsck.ext4', '-p'],
      ['resize2fs'],
      ['blkid', '-p'],
    ] as const) {
      const done = await exec(program, [...args, device.path], SOON);
      expect(done, program).toMatchObject({ code: 0 });
    }
  } finally {
    child.kill('SIGCONT');
    await run('umount', mountPoint);
    await device.detach({ force: false });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await createFuseLoopExporter({ runDir: join(folder, 'hung') }).cleanUp('pv');
  }
});

it('the holders of a device are found beside a file of a hung server that was unmounted lazily', async () => {
  const child = spawn(process.execPath, [CHILD, join(folder, 'hung'), 'stay'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const hung = await firstLine(child);
  const file = await attribute(hung, 'loop/backing_file');
  const descriptor = openSync(file, 'r');
  const reader = spawn('sleep', ['60'], { stdio: [descriptor, 'ignore', 'ignore'] });
  closeSync(descriptor);
  // After a write the kernel has to ask for the attributes again.
  await run('dd', 'if=/dev/zero', `of=${hung}`, 'bs=4k', 'count=1', 'oflag=direct');
  await run('umount', '-l', dirname(file));
  const device = await attach(exporter, 'pv', new RamSource({ sizeBytes: 32 * MIB }));
  child.kill('SIGSTOP');
  try {
    const found = await Promise.race([findUsers(device.path), delay(5_000, 'hangs')]);
    const self = `opened by pid ${String(process.pid)} `;
    expect(found).toEqual([{ what: expect.stringContaining(self) as string }]);
  } finally {
    child.kill('SIGCONT');
    reader.kill('SIGKILL');
    expect(await device.detach({ force: false })).toMatchObject({ ok: true });
    await run('losetup', '--detach', hung);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await rm(join(folder, 'hung'), { recursive: true });
  }
});

async function firstLine(child: ChildProcess): Promise<string> {
  const [chunk] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [
    Buffer,
  ];
  return chunk.toString().trim();
}

/** Data that the source holds. */
function heldMib(source: RamSource): number {
  return source.heldBack.reduce((sum, { length }) => sum + length, 0) / MIB;
}
