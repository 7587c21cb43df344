/** As many devices as a large node has, in one process with the threads that any process has. Needs root. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import type { ExportedDevice } from '../../src/ports/block.ts';
import { RamSource } from './fuse-loop-ram.ts';
import { MIB, attach, fio, footprint, removeFolder, temporaryFolder } from './fuse-loop-support.ts';

const VOLUMES = 200;
const AT_ONCE = 10;

let folder: string;
let devices: ExportedDevice[];

beforeEach(async () => {
  folder = await temporaryFolder();
  devices = [];
});

afterEach(async () => {
  for (const device of devices) await device.detach({ force: true });
  const left = await footprint(folder);
  await removeFolder(folder);
  expect({ mounts: left.mounts, loops: left.loops }).toEqual({ mounts: 0, loops: 0 });
});

it('two hundred volumes are served without a thread of their own, all of them under load at once', async () => {
  const log: string[] = [];
  const runDir = join(folder, 'run');
  const exporter = createFuseLoopExporter({ runDir, log: (line) => log.push(line) });
  const sources = Array.from({ length: VOLUMES }, () => new RamSource({ sizeBytes: MIB / 2 }));
  let threadsBefore: number | undefined;
  for (const some of chunks(sources)) {
    const first = devices.length;
    const made = some.map((source, at) => attach(exporter, `pv-${String(first + at)}`, source));
    devices.push(...(await Promise.all(made)));
    // The first ones make what is made once: the threads of the pool.
    threadsBefore ??= (await footprint(folder)).threads;
  }
  const { threads, loops } = await footprint(folder);
  expect(loops).toBe(VOLUMES);
  expect(threads).toBeLessThanOrEqual(threadsBefore ?? 0);

  const load = fio(
    devices.map(({ path }) => path).join(':'),
    ...['rw=randrw', 'bs=16k', `size=${String(VOLUMES / 2)}m`, 'iodepth=128'],
    ...['verify=crc32c', 'verify_fatal=1', 'do_verify=1'],
  );
  // Files are read beside it: no thread is taken by a device.
  expect(await readFile('/proc/self/stat', 'utf8')).toContain(String(process.pid));
  expect(await load).toMatchObject({ code: 0 });
  expect(sources.filter(({ counts }) => counts.read > 0 && counts.write > 0)).toHaveLength(VOLUMES);

  for (const some of chunks(devices)) {
    const gone = await Promise.all(some.map((device) => device.detach({ force: false })));
    expect(gone.filter(({ ok }) => !ok)).toEqual([]);
  }
  expect(log).toEqual([]);
  expect(sources.flatMap(({ violations }) => violations)).toEqual([]);
}, 240_000);

function chunks<T>(all: readonly T[]): T[][] {
  const count = Math.ceil(all.length / AT_ONCE);
  return Array.from({ length: count }, (_, at) => all.slice(at * AT_ONCE, (at + 1) * AT_ONCE));
}
