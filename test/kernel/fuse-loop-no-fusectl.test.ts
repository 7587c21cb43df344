/**
 * Held memory where the kernel takes no other limit than the first one: a mount namespace in which
 * /sys/fs/fuse/connections is not there, so that fusectl can neither be found nor mounted. Needs root.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { fio, footprint, removeFolder, temporaryFolder } from './fuse-loop-support.ts';

const CHILD = join(import.meta.dirname, 'fuse-loop-budget-child.ts');
const HIDDEN = 'mount -t tmpfs -o ro none /sys/fs/fuse && exec "$@"';
const SOON = { timeout: 10_000 };
/** 16 MiB, eight volumes at most: 2 MiB or eight requests of 256 KiB for each. */
const [BUDGET_MIB, VOLUMES_MAX, VOLUMES, PART] = [16, 8, 2, 8];

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});

afterEach(async () => {
  const left = await footprint(folder);
  await removeFolder(folder);
  expect({ mounts: left.mounts, loops: left.loops }).toEqual({ mounts: 0, loops: 0 });
});

/** The volumes of one process, by orders of a line each (fuse-loop-budget-child.ts). */
class Volumes {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  constructor(shell: string) {
    const words = [join(folder, 'run'), BUDGET_MIB, VOLUMES_MAX, VOLUMES].map(String);
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', shell, 'sh'];
    this.#child = spawn('unshare', [...args, process.execPath, CHILD, ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    onTestFinished(() => void this.#child.kill('SIGKILL'));
  }

  /** Without an order: the first line. */
  async ask<T>(order?: string): Promise<T> {
    if (order !== undefined) this.#child.stdin.write(`${order}\n`);
    const { value } = (await this.#answers.next()) as { value: string | undefined };
    if (value === undefined) throw new Error('the process of the volumes ended');
    return JSON.parse(value) as T;
  }

  async end(): Promise<readonly string[]> {
    const exit = once(this.#child, 'exit');
    const logged = await this.ask<readonly string[]>('end');
    this.#child.stdin.end();
    expect(await exit).toEqual([0, null]);
    return logged;
  }
}

/** What each volume holds when every volume is asked for all that the kernel may ask for. */
async function heldUnderLoad(volumes: Volumes, reaches: number): Promise<readonly number[]> {
  const paths = await volumes.ask<readonly string[]>();
  await volumes.ask('hold');
  const load = ['rw=randwrite', 'bs=256k', 'size=32m', 'iodepth=64'];
  const loads = paths.map((path) => fio(path, ...load));
  const held = (): Promise<readonly number[]> => volumes.ask<readonly number[]>('held');
  await vi.waitFor(async () => expect(Math.min(...(await held()))).toBe(reaches), SOON);
  await delay(500);
  const most = await held();
  await volumes.ask('letgo');
  for (const done of await Promise.all(loads)) expect(done).toMatchObject({ code: 0 });
  return most;
}

it('without fusectl each volume has its part of the budget from the start, works, and the log says so', async () => {
  const volumes = new Volumes(HIDDEN);
  expect(await heldUnderLoad(volumes, PART)).toEqual([PART, PART]);
  const logged = await volumes.end();
  expect(logged).toEqual([expect.stringMatching(/^cannot use fusectl \(.*ENOENT.*--max-volumes/)]);
});

it('with fusectl the same two volumes share the whole budget', async () => {
  const volumes = new Volumes('exec "$@"');
  const half = (BUDGET_MIB * 4) / VOLUMES;
  expect(await heldUnderLoad(volumes, half)).toEqual([half, half]);
  expect(await volumes.end()).toEqual([]);
});
