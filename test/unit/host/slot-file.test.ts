/** A file with its space reserved: written in place, alternately, never over the latest that is certain. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { newestSlot } from '../../../src/host/record-slots.ts';
import { SlotFile } from '../../../src/host/slot-file.ts';

let dir: string;
let path: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'slots-'));
  path = join(dir, 'state', 'v.record');
});
afterEach(() => rm(dir, { recursive: true }));

async function wrote(file: SlotFile, text: string): Promise<void> {
  expect(await file.write(text)).toEqual({ ok: true });
}

it('has its whole size from the first write on, and the inode stays', async () => {
  const file = new SlotFile(path);
  expect(await file.read()).toEqual({ ok: true, value: 'none' });
  await wrote(file, 'one');
  const first = await stat(path);
  expect([first.size, first.blocks * 512 >= first.size]).toEqual([2 * 64 * 1024, true]);
  for (const text of ['two', 'three', 'four']) await wrote(file, text);
  const last = await stat(path);
  expect([last.ino, last.size, last.blocks]).toEqual([first.ino, first.size, first.blocks]);
  expect(await readdir(join(dir, 'state'))).toEqual(['v.record']);
  expect(await new SlotFile(path).read()).toEqual({ ok: true, value: { text: 'four' } });
});

it('alternates, and goes on where the process before has stopped', async () => {
  const slots: unknown[] = [];
  for (const text of ['a', 'b', 'c', 'd']) {
    const file = new SlotFile(path);
    await wrote(file, text);
    slots.push(newestSlot(await readFile(path)));
  }
  expect(slots).toMatchObject([
    { index: 0, text: 'a' },
    { index: 1, text: 'b' },
    { index: 0, text: 'c' },
    { index: 1, text: 'd' },
  ]);
});

it('a slot that is torn is the one that is written next', async () => {
  const file = new SlotFile(path);
  await wrote(file, 'kept');
  await wrote(file, 'torn');
  const bytes = await readFile(path);
  bytes[64 * 1024 + 29]! ^= 1;
  await writeFile(path, bytes);
  const next = new SlotFile(path);
  expect(await next.read()).toEqual({ ok: true, value: { text: 'kept' } });
  await wrote(next, 'new');
  expect(newestSlot(await readFile(path))).toMatchObject({ index: 1, text: 'new' });
});

it('both torn: damaged, and nothing is written over it', async () => {
  await wrote(new SlotFile(path), 'one');
  await writeFile(path, Buffer.alloc(2 * 64 * 1024));
  const file = new SlotFile(path);
  expect(await file.read()).toEqual({ ok: true, value: 'damaged' });
  expect(await file.write('two')).toMatchObject({ ok: false });
  expect((await readFile(path)).every((byte) => byte === 0)).toBe(true);
});

it('a text that needs more than half of a slot gets larger ones, while it still fits', async () => {
  const file = new SlotFile(path);
  await wrote(file, 'x'.repeat(30_000));
  expect((await stat(path)).size).toBe(2 * 64 * 1024);
  await wrote(file, 'x'.repeat(40_000));
  expect((await stat(path)).size).toBe(2 * 128 * 1024);
  await wrote(file, 'y');
  expect(await new SlotFile(path).read()).toEqual({ ok: true, value: { text: 'y' } });
  expect((await stat(path)).size).toBe(2 * 128 * 1024);
});

it('removed by hand, it is made anew; removed by its owner, it is gone', async () => {
  const file = new SlotFile(path);
  await wrote(file, 'one');
  await rm(path);
  await wrote(file, 'two');
  expect(await new SlotFile(path).read()).toEqual({ ok: true, value: { text: 'two' } });
  expect(await file.remove()).toEqual({ ok: true });
  expect(await readdir(join(dir, 'state'))).toEqual([]);
});
