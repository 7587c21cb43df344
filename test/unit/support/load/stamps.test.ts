import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  BLOCK,
  encodeStamp,
  isClean,
  type Ledger,
  loadLedger,
  locate,
  newLedger,
  parseExtents,
  rewritesPerBlock,
  saveLedger,
  verify,
  verifyExtents,
  volumeHash,
} from '../../../support/load/stamps.ts';

const volume = volumeHash('v');

/** A disk of four blocks, each written five times, the ledger that says so, and a way to break it. */
function world(): {
  disk: Buffer;
  ledger: Ledger;
  put: (place: number, stamp?: Partial<Parameters<typeof encodeStamp>[1]>) => void;
  check: () => ReturnType<typeof verify>;
} {
  const disk = Buffer.alloc(4 * BLOCK);
  const ledger = newLedger('v', 0, 4);
  const put = (place: number, stamp = {}): void => {
    const at = disk.subarray(place * BLOCK, (place + 1) * BLOCK);
    encodeStamp(at, { volume, block: place, sequence: 5, epoch: 1, ...stamp });
  };
  for (let block = 0; block < 4; block++) put(block);
  ledger.acked.fill(5);
  ledger.issued.fill(5);
  const read = async (block: number, buffer: Buffer): Promise<void> => {
    disk.copy(buffer, 0, block * BLOCK, (block + 1) * BLOCK);
  };
  return { disk, ledger, put, check: () => verify(read, ledger) };
}

describe('verification of stamped blocks', () => {
  it('passes a disk that holds exactly what was acknowledged', async () => {
    const found = await world().check();
    expect(found).toMatchObject({ verified: 4, lost: 0, stale: 0, torn: 0, misplaced: 0 });
    expect(isClean(found)).toBe(true);
  });

  it('sees a stale block: an older write of ours than the last acknowledged one', async () => {
    const { put, check } = world();
    put(2, { sequence: 4 });
    const found = await check();
    expect(found).toMatchObject({ verified: 3, stale: 1, lost: 0, torn: 0, misplaced: 0 });
    expect(found.details[0]).toContain('block 2: sequence 4 of writer 1, expected 5');
    expect(isClean(found)).toBe(false);
  });

  it('sees a lost block, whether zeros or garbage are in its place', async () => {
    const { disk, check } = world();
    disk.fill(0, 0, BLOCK);
    disk.fill(0xa5, BLOCK, 2 * BLOCK);
    const found = await check();
    expect(found).toMatchObject({ verified: 2, lost: 2 });
    expect(found.details[0]).toContain('zeros');
    expect(found.details[1]).toContain('garbage');
  });

  it('sees a torn block and says which sectors are how old', async () => {
    const { disk, put, check } = world();
    const old = Buffer.alloc(BLOCK);
    encodeStamp(old, { volume, block: 1, sequence: 4, epoch: 1 });
    old.copy(disk, BLOCK + 2048, 2048, BLOCK);
    put(3);
    const found = await check();
    expect(found).toMatchObject({ verified: 3, torn: 1 });
    expect(found.details[0]).toContain('5 5 5 5 4 4 4 4');
  });

  it('sees a block torn within a sector', async () => {
    const { disk, check } = world();
    disk[BLOCK + 777]! ^= 1;
    expect(await check()).toMatchObject({ verified: 3, torn: 1 });
  });

  it('sees a half-written block whose rest was never written', async () => {
    const { disk, check } = world();
    disk.fill(0, 512, BLOCK);
    expect(await check()).toMatchObject({ verified: 3, torn: 1 });
  });

  it('sees a misplaced block: whole and new, but of another place, volume or writer', async () => {
    const { put, check } = world();
    put(0, { block: 1 });
    put(1, { volume: volumeHash('w') });
    put(2, { epoch: 2 });
    put(3, { sequence: 6 });
    expect(await check()).toMatchObject({ verified: 0, misplaced: 4 });
  });

  it('accepts either outcome of a write that was never answered', async () => {
    const { ledger, put, check } = world();
    ledger.issued[0] = 6;
    ledger.issued[1] = 6;
    put(1, { sequence: 6 });
    expect(await check()).toMatchObject({ verified: 4 });
  });

  it('says nothing of blocks that were never acknowledged', async () => {
    const { disk, ledger, check } = world();
    disk.fill(0, 0, BLOCK);
    ledger.acked[0] = 0;
    expect(await check()).toMatchObject({ verified: 3, unwritten: 1, lost: 0 });
  });

  it('counts blocks that cannot be read, and is not clean then', async () => {
    const { ledger } = world();
    const found = await verify(() => Promise.reject(new Error('EIO')), ledger);
    expect(found).toMatchObject({ verified: 0, errors: 4 });
    expect(isClean(found)).toBe(false);
  });

  it('is not clean when there was nothing to verify', async () => {
    const found = await verify(() => Promise.resolve(), newLedger('v', 0, 4));
    expect(isClean(found)).toBe(false);
  });
});

describe('the ledger', () => {
  let folder = '';
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'stamps-test-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it('comes back from its file as it went in', () => {
    const { ledger } = world();
    ledger.issued[3] = 4_000_000_000;
    saveLedger(join(folder, 'ledger'), ledger);
    expect(loadLedger(join(folder, 'ledger'))).toEqual(ledger);
    expect(readFileSync(join(folder, 'ledger'), 'utf8').startsWith('{')).toBe(true);
  });

  it('tells how often a block was written, leaving out those that never were', () => {
    const { ledger } = world();
    ledger.acked[0] = 0;
    ledger.acked[1] = 20;
    expect(rewritesPerBlock(ledger)).toBe(10);
  });

  it('lets a file be verified on its device by its extents', async () => {
    const { disk, ledger } = world();
    const device = join(folder, 'device');
    // Blocks 0-1 lie 7 sectors into the device, blocks 2-3 after them but for one half of block 3.
    const [head, tail] = [disk.subarray(0, 3.5 * BLOCK), disk.subarray(3.5 * BLOCK)];
    writeFileSync(device, Buffer.concat([tail, Buffer.alloc(3 * 512), head]));
    const extents = [
      { logical: 0, physical: 7, length: 16 },
      { logical: 16, physical: 23, length: 12 },
      { logical: 28, physical: 0, length: 4 },
    ];
    expect(locate(3, extents)).toEqual([
      [31 * 512, 2048],
      [0, 2048],
    ]);
    expect(await verifyExtents(device, extents, ledger)).toMatchObject({ verified: 4, errors: 0 });
    const wrong = await verifyExtents(device, extents.slice(0, 1), ledger);
    expect(wrong).toMatchObject({ verified: 2, errors: 2 });
  });

  it("parses filefrag's table", () => {
    const text = `Filesystem type is: ef53
File size of f is 16777216 (4096 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..    1023:      34816..     35839:   1024:
   1:     1024..    4095:      36864..     39935:   3072:      35840: last,eof
f: 2 extents found`;
    expect(parseExtents(text)).toEqual([
      { logical: 0, physical: 34816, length: 1024 },
      { logical: 1024, physical: 36864, length: 3072 },
    ]);
  });
});
