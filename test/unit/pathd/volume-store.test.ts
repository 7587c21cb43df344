/** The record of a volume on disk: what is read, what is an error, and the file of the versions before. */
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fileVolumeStore, volumesUnderName } from '../../../src/pathd/volume-store.ts';
import { emptyRecord } from '../../../src/volume/record/record.ts';

let dir: string;
const files = () => readdir(join(dir, 'volumes'));
const former = () => join(dir, 'volumes', 'v.json');
const dirty = { ...emptyRecord('v'), mayHoldWrites: ['p0'] };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'store-'));
  await mkdir(join(dir, 'volumes'));
});
afterEach(() => rm(dir, { recursive: true }));

it('the file of the versions before is read, and gone when a record was saved', async () => {
  await writeFile(former(), JSON.stringify(dirty));
  const store = fileVolumeStore(dir, 'v');
  expect(await store.load()).toMatchObject({ ok: true, value: dirty });
  expect(await volumesUnderName(dir)).toEqual(['v']);
  expect(await store.save({ ...dirty, format: 'done' })).toEqual({ ok: true });
  expect(await files()).toEqual(['v.record']);
  expect(await fileVolumeStore(dir, 'v').load()).toMatchObject({ value: { format: 'done' } });
});

it('beside a younger record the former file says nothing any more', async () => {
  await writeFile(former(), JSON.stringify(dirty));
  await utimes(former(), 1_000, 1_000);
  await fileVolumeStore(dir, 'v').save(emptyRecord('v'));
  await writeFile(former(), JSON.stringify(dirty));
  await utimes(former(), 1_000, 1_000);
  expect(await fileVolumeStore(dir, 'v').load()).toMatchObject({ value: { mayHoldWrites: [] } });
  expect(await volumesUnderName(dir)).toEqual([]);
});

it('a version before has served the volume since: what either may have left is fenced', async () => {
  const store = fileVolumeStore(dir, 'v');
  await store.save({ ...dirty, heldAt: { p0: 'a:1' }, keptOut: ['p2'] });
  const since = {
    ...emptyRecord('v'),
    mayHoldWrites: ['p1'],
    heldAt: { p1: 'b:1' },
    format: 'done',
  };
  await writeFile(former(), JSON.stringify(since));
  const later = Date.now() / 1000 + 10;
  await utimes(former(), later, later);
  const again = fileVolumeStore(dir, 'v');
  const loaded = await again.load();
  expect(loaded).toMatchObject({
    value: {
      mayHoldWrites: ['p0', 'p1'],
      heldAt: { p0: 'a:1', p1: 'b:1' },
      ...{ keptOut: ['p2'], format: 'done' },
    },
  });
  if (!loaded.ok || loaded.value === undefined) expect.unreachable();
  await again.save(loaded.value);
  expect(await files()).toEqual(['v.record']);
  expect(await fileVolumeStore(dir, 'v').load()).toEqual(loaded);
  await writeFile(former(), '{');
  await utimes(former(), later, later);
  expect(await fileVolumeStore(dir, 'v').load()).toMatchObject({ error: { kind: 'corrupt' } });
});

it.each([
  ['cut', Buffer.alloc(100)],
  ['zeros', Buffer.alloc(128 * 1024)],
])(
  'a record that is %s is an error for a human, though a former file is there',
  async (_, bytes) => {
    await writeFile(join(dir, 'volumes', 'v.record'), bytes);
    await writeFile(former(), JSON.stringify(emptyRecord('v')));
    const loaded = await fileVolumeStore(dir, 'v').load();
    expect(loaded).toMatchObject({ ok: false, error: { kind: 'corrupt' } });
    expect(await volumesUnderName(dir)).toEqual(['v']);
  },
);

it('a whole slot that cannot be understood is an error: an older one is not taken for the truth', async () => {
  const store = fileVolumeStore(dir, 'v');
  await store.save(emptyRecord('v'));
  await store.save({ ...emptyRecord('v'), version: 2 } as never);
  expect(await fileVolumeStore(dir, 'v').load()).toMatchObject({
    ok: false,
    error: { kind: 'corrupt' },
  });
});

it('removed, neither file is left', async () => {
  const store = fileVolumeStore(dir, 'v');
  await writeFile(former(), JSON.stringify(dirty));
  await store.save(dirty);
  await writeFile(former(), JSON.stringify(dirty));
  expect(await store.remove()).toEqual({ ok: true });
  expect(await files()).toEqual([]);
  expect(await store.load()).toEqual({ ok: true, value: undefined });
});
