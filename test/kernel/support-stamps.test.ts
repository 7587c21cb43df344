/** The stamped workload on ext4 on a loop device: it must write fast, and it must be able to fail. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, openSync, closeSync, truncateSync, writeSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { monotonicMs, StampLoad, type StampLoadOptions } from '../support/load/stamps-load.ts';
import { makeBackingFile } from '../support/targets/tgt.ts';
import { temporaryFolder } from '../support/targets/ports.ts';
import { BLOCK, extentsOf, isClean, rewritesPerBlock } from '../support/load/stamps.ts';
import { verifyExtents, verifyFile } from '../support/load/stamps.ts';

const folder = temporaryFolder('stamps');
const [image, mount] = [`${folder.path}/image`, `${folder.path}/mnt`];
const file = `${mount}/blocks`;
let loop = '';
const sh = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8' }).trim();

beforeAll(() => {
  makeBackingFile(image, 64 << 20);
  // 1 KiB blocks, what mkfs takes for a small disk: a stamped block may lie in several pieces.
  sh('mkfs.ext4', '-q', '-b', '1024', image);
  mkdirSync(mount);
  loop = sh('losetup', '--show', '--find', '--direct-io=on', image);
  sh('mount', loop, mount);
});

/** Started through here, so that a test that fails leaves no writer that keeps the mount busy. */
const loads: StampLoad[] = [];
async function startLoad(options: Partial<StampLoadOptions> = {}): Promise<StampLoad> {
  const load = await StampLoad.start({ file, volume: 'v', blocks: 1024, ...options });
  loads.push(load);
  return load;
}

afterEach(async () => {
  for (const load of loads.splice(0)) await load.kill();
});

afterAll(() => {
  try {
    if (loop !== '') sh('umount', '--lazy', mount);
  } finally {
    if (loop !== '') sh('losetup', '-d', loop);
    folder.remove();
  }
});

describe('stamped blocks on ext4', () => {
  it('are rewritten many times with 32 writes in flight, and all found again, twice', async () => {
    const inFlight: number[] = [];
    const load = await startLoad({
      onReport: (r) => r.kind === 'tick' && inFlight.push(r.inFlight),
    });
    const from = monotonicMs();
    await load.progressed(20_000, 20_000);
    const took = monotonicMs() - from;
    expect(load.worstGapMs(from, monotonicMs())).toBeGreaterThan(0);
    expect(load.worstGapMs(from, monotonicMs())).toBeLessThan(took);
    const ledger = await load.stop();
    expect(load.totals).toMatchObject({ errors: 0, faults: 0 });
    expect(Math.min(...inFlight.slice(0, -1))).toBeGreaterThanOrEqual(32);
    expect(rewritesPerBlock(ledger)).toBeGreaterThan(15);
    const found = await verifyFile(file, ledger);
    expect(found).toMatchObject({ verified: 1024, unwritten: 0 });
    expect(isClean(found)).toBe(true);
    const raw = await verifyExtents(image, await extentsOf(file), ledger);
    expect(raw).toMatchObject({ verified: 1024, errors: 0, stale: 0, lost: 0, torn: 0 });
  });

  it('show what somebody else did to them behind the file system', async () => {
    const load = await startLoad();
    await load.progressed(5_000, 20_000);
    const ledger = await load.stop();
    const [extent] = await extentsOf(file);
    const fd = openSync(loop, 'r+');
    const start = extent!.physical * 512;
    writeSync(fd, Buffer.alloc(BLOCK), 0, BLOCK, start + 7 * BLOCK);
    writeSync(fd, Buffer.alloc(512), 0, 512, start + 9 * BLOCK);
    closeSync(fd);
    sh('blockdev', '--flushbufs', loop);
    const found = await verifyFile(file, ledger);
    expect(found).toMatchObject({ lost: 1, torn: 1, verified: 1022 });
    expect(found.details.join()).toContain('block 7: zeros');
  });

  it('report every error of the device and go on', async () => {
    const load = await startLoad();
    await load.progressed(5_000, 20_000);
    expect(load.totals.errors).toBe(0);
    // The device loses its end, the file with it: the kernel answers EIO for what lies beyond. Frozen
    // meanwhile: a write that arrives between the two lengthens the image again, and the device with it.
    sh('fsfreeze', '--freeze', mount);
    truncateSync(image, 1 << 20);
    sh('losetup', '--set-capacity', loop);
    sh('fsfreeze', '--unfreeze', mount);
    expect(sh('blockdev', '--getsize64', loop)).toBe(String(1 << 20));
    await expect(load.progressed(1_000_000, 500)).rejects.toThrow(
      /writes in 500 ms, [1-9]\d* errors/,
    );
    const ledger = await load.stop();
    expect(load.totals.details.join()).toMatch(/I\/O error: (write|read|fdatasync).*EIO/);
    expect(isClean(await verifyFile(file, ledger))).toBe(false);
  });
});
