/**
 * A volume's whole life beside another volume of the node whose storage is silent. mkfs.ext4, fsck.ext4
 * and resize2fs ask every loop device that is mounted for its file (LOOP_GET_STATUS64, which asks the
 * FUSE server for the attributes): a server that does not answer, because it hangs or because it reads
 * nothing more while data is held, once kept every stage of the node waiting until that data was let go.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CsiBench, EXT4_BYTES, XFS_BYTES, run } from '../support/node/csi-bench.ts';
import { mountCapability } from '../support/node/kubelet.ts';
import { fio, removeFolder, temporaryFolder } from './fuse-loop-support.ts';

const CHILD = join(import.meta.dirname, 'fuse-loop-budget-child.ts');
/** More than a whole life takes by itself, and far less than any program's time limit. */
const LIMIT_MS = 20_000;

let folder: string;
let neighbour: ChildProcessByStdio<Writable, Readable, null>;
let answers: AsyncIterator<string>;
let load: ReturnType<typeof fio>;
let bench: CsiBench | undefined;

async function ask<T>(order: string): Promise<T> {
  neighbour.stdin.write(`${order}\n`);
  const { value } = (await answers.next()) as { value: string | undefined };
  return JSON.parse(value ?? 'null') as T;
}

/** The neighbour is mounted, and all that the kernel may ask it for is held. */
beforeEach(async () => {
  folder = await temporaryFolder();
  neighbour = spawn(process.execPath, [CHILD, join(folder, 'run'), '256', '100', '1'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  answers = createInterface({ input: neighbour.stdout })[Symbol.asyncIterator]();
  const [device = ''] = JSON.parse((await answers.next()).value as string) as string[];
  mkdirSync(join(folder, 'mnt'));
  // Nothing of it is written by itself later: what is held is the load.
  await run('mkfs.ext4', ['-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', device]);
  await run('mount', ['-o', 'noatime', device, join(folder, 'mnt')]);
  await run('sync', ['-f', join(folder, 'mnt')]);
  await run('blockdev', ['--flushbufs', device]);
  await ask('hold');
  load = fio(device, 'rw=randread', 'bs=256k', 'size=32m', 'iodepth=64', 'invalidate=0');
  await vi.waitFor(async () => expect(await ask('held')).toEqual([64]), { timeout: 10_000 });
});

afterEach(async () => {
  neighbour.kill('SIGCONT');
  await ask('letgo');
  expect(await load).toMatchObject({ code: 0 });
  await run('umount', [join(folder, 'mnt')]);
  const exit = once(neighbour, 'exit');
  expect(await ask('end')).toEqual([]);
  neighbour.stdin.end();
  await exit;
  await bench?.close();
  bench = undefined;
  await removeFolder(folder);
});

async function live(one: CsiBench, fsType: string): Promise<void> {
  const capability = mountCapability(fsType);
  await one.stage('pv-1', capability);
  await one.publish('pv-1', capability);
  await one.unpublish('pv-1');
  await one.unstage('pv-1');
  // Once more: with fsck, and with a filesystem that is to be grown.
  one.pathd.grow('pv-1', XFS_BYTES * 2);
  await one.stage('pv-1', capability);
  await one.unstage('pv-1');
}

test.each([
  ['ext4', EXT4_BYTES, 'whose data is held'],
  ['ext4', EXT4_BYTES, 'whose server hangs'],
  ['xfs', XFS_BYTES, 'whose server hangs'],
] as const)('%s (%i bytes) beside a volume %s', async (fsType, bytes, how) => {
  bench = await CsiBench.open(bytes);
  if (how === 'whose server hangs') neighbour.kill('SIGSTOP');
  const startedAt = performance.now();
  await live(bench, fsType);
  expect(performance.now() - startedAt).toBeLessThan(LIMIT_MS);
});
