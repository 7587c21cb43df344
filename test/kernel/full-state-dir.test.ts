/**
 * A state directory on a file system that is really full, of blocks and of inodes: the record of a volume that
 * is served is saved all the same, and that of a new one is refused when the volume is staged.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fileVolumeStore } from '../../src/pathd/volume-store.ts';
import { emptyRecord } from '../../src/volume/record/record.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'full-state-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,nr_inodes=12', 'full-state', dir]);
});
afterEach(() => {
  execFileSync('umount', [dir]);
  rmSync(dir, { recursive: true });
});

function fill(): void {
  const full = (run: () => void): boolean => {
    try {
      run();
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOSPC';
    }
  };
  const block = Buffer.alloc(4096, 1);
  const ballast = join(dir, 'ballast');
  while (!full(() => writeFileSync(ballast, block, { flag: 'a' })));
  for (let i = 0; !full(() => writeFileSync(join(dir, `inode-${String(i)}`), '')); i++);
}

it('a volume that is served can record where its I/O goes, as often as it has to', async () => {
  const store = fileVolumeStore(dir, 'served');
  expect(await store.save(emptyRecord('served'))).toEqual({ ok: true });
  fill();
  for (let i = 0; i < 100; i++) {
    const name = `p${String(i % 16)}`;
    const record = {
      ...emptyRecord('served'),
      mayHoldWrites: [name],
      heldAt: { [name]: `10.0.0.${String(i)}:3260` },
      banned: Object.fromEntries(
        Array.from({ length: i % 16 }, (_, n) => [`p${String(n)} x`, 'b'.repeat(300)]),
      ),
    };
    expect(await store.save(record)).toEqual({ ok: true });
    expect(await fileVolumeStore(dir, 'served').load()).toMatchObject({ value: record });
  }
});

it('one that is staged now is refused, and leaves nothing behind', async () => {
  await fileVolumeStore(dir, 'served').save(emptyRecord('served'));
  fill();
  const saved = await fileVolumeStore(dir, 'new').save(emptyRecord('new'));
  expect(saved).toMatchObject({ ok: false, error: { kind: 'no-space' } });
  expect(readdirSync(join(dir, 'volumes'))).toEqual(['served.record']);
});
