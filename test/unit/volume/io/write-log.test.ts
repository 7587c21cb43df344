/** The log alone: what it keeps, what a flush takes out of it, what is replayed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ranges } from '../../../../src/volume/io/ranges.ts';
import { type DataChange, WriteLog } from '../../../../src/volume/io/write-log.ts';

/** A write of blocks that all hold the value; a block is one byte. */
function write(offset: number, length: number, value: number): DataChange {
  return { kind: 'write', offset, length, data: Buffer.alloc(length, value) };
}
function zeroes(offset: number, length: number): DataChange {
  return { kind: 'write-zeroes', offset, length, data: undefined };
}
function logOf(...changes: readonly DataChange[]): WriteLog {
  const log = new WriteLog();
  for (const change of changes) log.append(change);
  return log;
}

describe('a flush', () => {
  it('takes out what was acknowledged before it was issued, and nothing that came later', () => {
    const log = logOf(write(0, 4, 1), write(8, 4, 2));
    const { mark } = log;
    log.append(write(16, 4, 3));
    expect(log.flushed(mark)).toMatchObject({ offset: 8 });
    expect([log.count, log.bytes]).toEqual([1, 4]);
    expect(log.flushed(mark)).toBeUndefined();
    expect(log.take()).toEqual([write(16, 4, 3)]);
  });

  it('that was issued before a replay takes nothing out that came after it', () => {
    const log = logOf(write(0, 4, 1));
    const { mark } = log;
    log.take();
    log.append(write(0, 4, 1));
    log.flushed(mark);
    expect(log.count).toBe(1);
  });

  it('counts payload only: zeros take none', () => {
    const log = logOf(write(0, 4, 1), zeroes(4, 1000));
    expect([log.count, log.bytes]).toEqual([2, 4]);
    log.flushed(log.mark);
    expect([log.count, log.bytes]).toEqual([0, 0]);
  });
});

describe('a replay', () => {
  it('leaves out what a newer write has overwritten, whole or in part', () => {
    const log = logOf(write(0, 8, 1), zeroes(2, 2), write(6, 4, 3), write(2, 1, 4));
    expect(log.take()).toEqual([
      write(0, 2, 1),
      write(4, 2, 1),
      zeroes(3, 1),
      write(6, 4, 3),
      write(2, 1, 4),
    ]);
    expect([log.count, log.bytes, log.take()]).toEqual([0, 0, []]);
  });

  it('is what all changes in their order would leave, each byte written once', () => {
    const change = fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 12 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (list) => {
        const changes = list.map(([offset, length, isWrite], i) =>
          isWrite ? write(offset, length, i + 1) : zeroes(offset, length),
        );
        const wanted = Buffer.alloc(64, 0xff);
        for (const { offset, length, data } of changes) {
          wanted.set(data ?? Buffer.alloc(length), offset);
        }
        const got = Buffer.alloc(64, 0xff);
        const times = new Array<number>(64).fill(0);
        for (const { offset, length, data } of logOf(...changes).take()) {
          got.set(data ?? Buffer.alloc(length), offset);
          for (let i = 0; i < length; i++) times[offset + i]!++;
        }
        expect(got).toEqual(wanted);
        expect(Math.max(...times)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('ranges', () => {
  it('tell what was missing, in order, and join neighbours', () => {
    const ranges = new Ranges();
    expect(ranges.add(4, 8)).toEqual([[4, 8]]);
    expect(ranges.add(12, 16)).toEqual([[12, 16]]);
    expect(ranges.add(8, 10)).toEqual([[8, 10]]);
    expect(ranges.add(0, 20)).toEqual([
      [0, 4],
      [10, 12],
      [16, 20],
    ]);
    expect(ranges.add(1, 19)).toEqual([]);
  });
});
