/** Samples of recent writes: what they may accuse a path of. */
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../../../src/base/brand.ts';
import type { IoRequest } from '../../../../src/ports/block.ts';
import { RecentWrites } from '../../../../src/volume/unit/recent-writes.ts';

const io = (kind: IoRequest['kind'], offset: number, length: number): IoRequest => ({
  kind,
  offset,
  length,
  data: kind === 'read' || kind === 'write' ? Buffer.alloc(length, 7) : undefined,
  fua: false,
  done: () => undefined,
});

describe('recent writes', () => {
  const at = (ms: number): Instant => ms as Instant;

  it('a block that may have changed since never accuses anybody', () => {
    for (const kind of ['write', 'discard', 'write-zeroes'] as const) {
      const recent = new RecentWrites(512);
      recent.note(io('write', 1024, 1024), at(0), false);
      const [sample] = recent.newest(1);
      if (sample === undefined) throw new Error('no sample');
      expect(recent.agrees(sample, Buffer.alloc(512, 7))).toBe(true);
      expect(recent.agrees(sample, Buffer.alloc(512, 8))).toBe(false);
      recent.forget(io(kind, 512, 512)); // before it
      expect(recent.agrees(sample, Buffer.alloc(512, 8))).toBe(false);
      recent.forget(io(kind, 512, 1024)); // over its first block
      expect(recent.agrees(sample, Buffer.alloc(512, 8))).toBeUndefined();
      expect(recent.pick()).toBeUndefined();
    }
  });

  it('takes no sample where another write is on its way, nor more than one in 20 ms', () => {
    const recent = new RecentWrites(512);
    recent.note(io('write', 0, 512), at(0), true);
    expect(recent.newest(9)).toHaveLength(0);
    recent.note(io('write', 0, 512), at(0), false);
    recent.note(io('write', 512, 512), at(19), false);
    expect(recent.newest(9)).toHaveLength(1);
    recent.note(io('write', 512, 512), at(20), false);
    expect(recent.newest(9)).toHaveLength(2);
  });
});
