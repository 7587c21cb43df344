/**
 * What the FUSE + loop tests share: folders that vanish, programs that must succeed, fio, counts.
 */
import { mkdtemp, readFile, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { ExecResult } from '../../src/host/exec.ts';
import { exec } from '../../src/host/exec.ts';
import type { BlockExporter, BlockSource, ExportedDevice } from '../../src/ports/block.ts';

export const MIB = 1024 * 1024;

export async function temporaryFolder(): Promise<string> {
  return realpath(await mkdtemp(join(tmpdir(), 'fuse-loop-')));
}

export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/** Runs a program that must succeed; its standard output. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const done = await exec(program, args, { timeoutMs: 60_000 });
  expect(done, `${program} ${args.join(' ')}`).toMatchObject({ code: 0 });
  return done.stdout;
}

/** fio on a device or file; arguments without the leading dashes. */
export function fio(filename: string, ...args: string[]): Promise<ExecResult> {
  const all = ['--name=t', `--filename=${filename}`, '--ioengine=libaio', '--direct=1'];
  return exec(
    'fio',
    ['--verify_state_save=0', ...all, ...args.map((argument) => `--${argument}`)],
    { timeoutMs: 60_000 },
  );
}

export async function attach(
  exporter: BlockExporter,
  volumeId: string,
  source: BlockSource,
): Promise<ExportedDevice> {
  const attached = await exporter.attach(volumeId, source);
  if (!attached.ok) throw new Error(attached.error.detail);
  return attached.value;
}

/** A queue or other attribute of a block device. */
export async function attribute(devicePath: string, name: string): Promise<string> {
  const device = devicePath.replace('/dev/', '');
  return (await readFile(`/sys/block/${device}/${name}`, 'utf8')).trim();
}

export interface Footprint {
  readonly descriptors: number;
  readonly threads: number;
  readonly mounts: number;
  readonly loops: number;
}

/** What of the kernel's this process holds, and mounts and loops below a folder. */
export async function footprint(folder: string): Promise<Footprint> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  let loops = 0;
  for (const name of await readdir('/sys/block')) {
    const file = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '');
    if (file.startsWith(folder)) loops++;
  }
  return {
    descriptors: (await readdir('/proc/self/fd')).length,
    threads: (await readdir('/proc/self/task')).length,
    mounts: mounts.filter((line) => line.includes(folder)).length,
    loops,
  };
}
