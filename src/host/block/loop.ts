/**
 * Loop devices through losetup(8) and sysfs.
 *
 * Direct I/O is not an optimisation here but a must: a buffered loop device caches everything twice
 * and is throttled by FUSE's share of dirty pages. util-linux before 2.38 falls back to buffered
 * without a word, so the result is read back from /sys/block/loopN/loop/dio.
 *
 * Detaching is lazy in the kernel: LOOP_CLR_FD on a device that is still open only sets
 * `autoclear`, and the device goes at its last close. `losetup -d` reports success in both cases,
 * so whether it has gone is read from sysfs: /sys/block/loopN/loop exists only while a file is
 * attached. The number may be taken by another process at once: the backing file tells whose it is.
 *
 * Every process that has the device open may ask for that detach, a pod without any capability too. So
 * pathd keeps each device open for as long as it is needed: then the device stays, and so does its
 * number.
 */
import { readFile, readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Result } from '../../base/result.ts';
import { err, ok } from '../../base/result.ts';
import type { ExportError } from '../../ports/block.ts';
import { exec } from '../exec.ts';
import type { DeviceNumbers } from '../mount/device-users.ts';
import { unescapeMountField } from '../mount/mountinfo.ts';

export interface LoopDevice {
  /** /dev/loopN. */
  readonly path: string;
  /** loopN. */
  readonly name: string;
  /** As the kernel says it, so relative to nothing once its mount was detached lazily. */
  readonly backingFile: string;
  readonly directIo: boolean;
  /** It goes at its last close. */
  readonly autoclear: boolean;
}

export interface LoopAttachOptions {
  readonly file: string;
  /** Logical block size: 512 or 4096. */
  readonly sectorBytes: number;
  readonly readOnly: boolean;
}

const SYS_BLOCK = '/sys/block';

/** What sysfs says of something that is not there. Other errors are the node's (no memory, no descriptor). */
const ABSENT: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENODEV', 'ENXIO', 'ENOTDIR']);

/** Undefined: there is no such attribute. Throws when the kernel could not be asked, which proves nothing. */
export function askSysfs(name: string, attribute: string): Promise<string | undefined> {
  return readSysfs(`${SYS_BLOCK}/${name}/${attribute}`);
}

async function readSysfs(file: string): Promise<string | undefined> {
  try {
    const text = await readFile(file, 'utf8');
    return text.replace(/\n$/, '');
  } catch (error) {
    if (ABSENT.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  }
}

function readAttribute(name: string, attribute: string): Promise<string | undefined> {
  return askSysfs(name, attribute).catch(() => undefined);
}

/** The loop device of this name, undefined when no file is attached to it. `read` may throw. */
export async function readLoop(
  name: string,
  read: typeof askSysfs = readAttribute,
): Promise<LoopDevice | undefined> {
  const backingFile = await read(name, 'loop/backing_file');
  if (backingFile === undefined) return undefined;
  return {
    path: `/dev/${name}`,
    name,
    backingFile: unescapeMountField(backingFile),
    directIo: (await read(name, 'loop/dio')) === '1',
    autoclear: (await read(name, 'loop/autoclear')) === '1',
  };
}

/**
 * The file behind the loop device of these numbers; undefined when there is none, or no such device. Throws
 * when the kernel could not be asked.
 */
export async function readBackingFile(numbers: DeviceNumbers): Promise<string | undefined> {
  const device = `/sys/dev/block/${String(numbers.major)}:${String(numbers.minor)}`;
  const text = await readSysfs(`${device}/loop/backing_file`);
  return text === undefined ? undefined : unescapeMountField(text);
}

/** Every loop device with a file attached. */
export async function listLoops(): Promise<LoopDevice[]> {
  const names = await readdir(SYS_BLOCK).catch(() => []);
  const loops: LoopDevice[] = [];
  for (const name of names.filter((candidate) => /^loop\d+$/.test(candidate))) {
    const loop = await readLoop(name);
    if (loop !== undefined) loops.push(loop);
  }
  return loops;
}

/** Loop devices over exactly this file; more than one only after another process made one. */
export async function findLoops(backingFile: string): Promise<LoopDevice[]> {
  return (await listLoops()).filter((loop) => loop.backingFile === backingFile);
}

/** Attaches a file to a free loop device. `no-device`: no loop device could be had. */
export async function attachLoop(
  options: LoopAttachOptions,
): Promise<Result<LoopDevice, ExportError>> {
  const args = ['--find', '--show', '--direct-io=on', `--sector-size=${options.sectorBytes}`];
  if (options.readOnly) args.push('--read-only');
  const made = await exec('losetup', [...args, options.file]);
  const path = made.stdout.trim();
  if (made.code !== 0 || !/^\/dev\/loop\d+$/.test(path)) {
    const reason = made.failure ?? made.stderr.trim();
    return err({ kind: 'no-device', detail: `cannot make a loop device: ${reason}` });
  }
  const loop = await readLoop(path.slice('/dev/'.length));
  if (loop?.backingFile !== options.file) {
    // Its number belongs to another file by now: there is nothing of ours to detach.
    const shows = loop?.backingFile ?? 'nothing';
    return err({ kind: 'no-device', detail: `${path} shows ${shows}, not ${options.file}` });
  }
  if (loop.directIo) return ok(loop);
  await exec('losetup', ['--detach', path]);
  return err({
    kind: 'unsupported',
    detail: `${path} refuses direct I/O; this needs a kernel from 4.10 on and util-linux 2.38`,
  });
}

/** Makes the device notice that its file has another size. */
export async function refreshLoopSize(path: string): Promise<Result<void, ExportError>> {
  const done = await exec('losetup', ['--set-capacity', path]);
  if (done.code === 0) return ok(undefined);
  const reason = done.failure ?? done.stderr.trim();
  return err({ kind: 'io', detail: `cannot resize ${path}: ${reason}` });
}

/** Size that the kernel shows for the device, in bytes. */
export async function loopSizeBytes(name: string): Promise<number | undefined> {
  const sectors = await readAttribute(name, 'size');
  return sectors === undefined ? undefined : Number(sectors) * 512;
}

/** Asks the kernel to detach; done at once, or at the last close. Ask `isLoopGone` which it was. */
export async function detachLoop(path: string): Promise<Result<void, ExportError>> {
  const done = await exec('losetup', ['--detach', path]);
  // ENXIO: nothing is attached any more, which is what was wanted.
  if (done.code === 0 || /No such device/.test(done.stderr)) return ok(undefined);
  const reason = done.failure ?? done.stderr.trim();
  return err({ kind: 'io', detail: `cannot detach ${path}: ${reason}` });
}

/**
 * The device is not attached to this file any more: free, or used for another file. Where the kernel
 * could not be asked it is there: its cache is flushed before it is taken away.
 */
export async function isLoopGone(loop: LoopDevice): Promise<boolean> {
  const now = await readLoop(loop.name, askSysfs).catch(() => loop);
  if (now === undefined) return true;
  // After a lazy unmount the kernel shows the path from the root of the detached mount.
  const detached = `/${basename(loop.backingFile)}`;
  return now.backingFile !== loop.backingFile && now.backingFile !== detached;
}
