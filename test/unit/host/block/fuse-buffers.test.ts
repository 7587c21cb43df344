import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../../../src/host/block/fuse-buffers.ts';
import { MAX_IO_BYTES } from '../../../../src/protocol/fuse/wire.ts';

const LARGEST = MAX_IO_BYTES;

describe('BufferPool', () => {
  it.each([512, 4096, 4097, 100_000, LARGEST])('gives a slab with room for %i bytes', (length) => {
    const slab = new BufferPool().slab(length);
    expect(slab.data(length).length).toBe(length);
    expect(slab.bytes.length).toBeLessThan(Math.max(4096, 2 * length) + 16 + 64 + 1);
  });

  it('puts the data right behind the room for the reply header', () => {
    const slab = new BufferPool().slab(4096);
    slab.bytes.fill(0);
    slab.data(512).fill(7);
    expect(slab.bytes.subarray(0, 16).every((byte) => byte === 0)).toBe(true);
    expect(slab.bytes.subarray(16, 528).every((byte) => byte === 7)).toBe(true);
  });

  it('gives the view of the length that is asked for now, not of the last request', () => {
    const slab = new BufferPool().slab(4096);
    expect([512, 4096, 1024, 1024].map((length) => slab.data(length).length)).toEqual([
      512, 4096, 1024, 1024,
    ]);
  });

  it('uses released slabs again, and never one that is still out', () => {
    const pool = new BufferPool();
    const first = pool.slab(4096);
    const second = pool.slab(4096);
    expect(second.bytes.buffer).not.toBe(first.bytes.buffer);
    pool.release(first);
    expect(pool.slab(100)).toBe(first);
    expect(pool.slab(100)).not.toBe(first);
  });

  it('keeps no more unused memory than its bound', () => {
    const pool = new BufferPool(3 * LARGEST);
    const slabs = Array.from({ length: 10 }, () => pool.slab(LARGEST));
    for (const slab of slabs) pool.release(slab);
    expect(pool.keptBytes).toBeLessThanOrEqual(3 * LARGEST);
    expect(pool.keptBytes).toBeGreaterThan(2 * LARGEST);
    for (let count = 0; count < 10; count++) pool.slab(LARGEST);
    expect(pool.keptBytes).toBe(0);
  });
});
