/** A block request → SCSI commands: limits, FUA, zeros. */
import { describe, expect, it } from 'vitest';
import type { IoRequest } from '../../../../src/ports/block.ts';
import { needsFlush, translate } from '../../../../src/volume/io/translate.ts';
import type { LuFacts } from '../../../../src/volume/unit/lu.ts';
import { asked } from '../../../support/model/fake-lu.ts';

const FACTS: LuFacts = {
  blockSize: 512,
  writeCache: 'none',
  fua: true,
  writeProtected: false,
  maxTransferBlocks: 4,
  maxWriteSameBlocks: 3,
  unmapsToZeros: false,
};

const io = (kind: IoRequest['kind'], offset: number, length: number): IoRequest => ({
  kind,
  offset,
  length,
  data: kind === 'read' || kind === 'write' ? Buffer.alloc(length, 7) : undefined,
  fua: false,
  done: () => undefined,
});

const shapes = (request: IoRequest, facts: Partial<LuFacts> = {}) =>
  [...translate(request, { ...FACTS, ...facts })].map(({ cdb }) => asked(cdb));

describe('translation', () => {
  it('splits at the transfer limit, and the pieces cover the request exactly', () => {
    expect(shapes(io('write', 512, 9 * 512)).map(({ lba, blocks }) => [lba, blocks])).toEqual([
      [1, 4],
      [5, 4],
      [9, 1],
    ]);
    expect(shapes(io('read', 0, 4 * 512))).toHaveLength(1);
    const request = io('write', 0, 6 * 512);
    const pieces = [...translate(request, FACTS)];
    const joined = Buffer.concat(pieces.map(({ dataOut }) => dataOut ?? Buffer.alloc(0)));
    expect(joined.equals(request.data as Buffer)).toBe(true);
  });

  it('gives the room behind the data to the piece at its end alone: behind others lies data', () => {
    const request = { ...io('read', 0, 9 * 512), tailroom: 64 };
    const rooms = [...translate(request, FACTS)].map(({ tailroom }) => tailroom);
    expect(rooms).toEqual([undefined, undefined, 64]);
    expect([...translate({ ...request, ...io('read', 0, 512) }, FACTS)][0]?.tailroom).toBe(64);
    expect([...translate(io('read', 0, 512), FACTS)][0]?.tailroom).toBe(undefined);
  });

  it('does not take the memory of a read that can wait for it, and its pieces cover all of it', () => {
    const memory = Buffer.alloc(9 * 512);
    let asked = 0;
    const buffer = (): Buffer => {
      asked++;
      return memory;
    };
    const late = { length: memory.length, buffer };
    const request = {
      ...({
        kind: 'read',
        offset: 0,
        length: memory.length,
        fua: false,
        late,
        tailroom: 64,
      } as const),
      ...{ done: () => undefined, data: undefined },
    };
    const pieces = [...translate(request, FACTS)].map(({ dataIn }) => dataIn!);
    expect(pieces.map(({ length }) => length)).toEqual([4 * 512, 4 * 512, 512]);
    expect([...translate(request, { ...FACTS, maxTransferBlocks: 9 })][0]?.dataIn).toBe(late);
    expect(asked).toBe(0);
    for (const [index, piece] of pieces.entries()) {
      (piece instanceof Uint8Array ? piece : piece.buffer()).fill(index + 1);
    }
    const [a, b, c] = [Buffer.alloc(2048, 1), Buffer.alloc(2048, 2), Buffer.alloc(512, 3)];
    expect(memory).toEqual(Buffer.concat([a, b, c]));
  });

  it.each([
    ['none', true, false, false],
    ['none', false, false, false],
    ['volatile', true, true, false],
    ['volatile', false, false, true],
    ['unknown', true, true, false],
    ['unknown', false, false, true],
  ] as const)(
    'write with cache %s, FUA %s: FUA bit %s, flush %s',
    (writeCache, fua, bit, flush) => {
      const facts = { ...FACTS, writeCache, fua };
      expect(shapes(io('write', 0, 512), facts)[0]?.fua).toBe(bit);
      expect(needsFlush(io('write', 0, 512), facts)).toBe(flush);
      expect(needsFlush(io('read', 0, 512), facts)).toBe(false);
      expect(needsFlush(io('flush', 0, 0), facts)).toBe(true);
      // WRITE SAME has no FUA bit.
      expect(needsFlush(io('discard', 0, 512), facts)).toBe(writeCache !== 'none');
      expect(needsFlush(io('write-zeroes', 0, 512), facts)).toBe(writeCache !== 'none');
    },
  );

  it('a discard unmaps only where unmapped blocks read as zeros, zeroes never do', () => {
    const unmap = (kind: 'discard' | 'write-zeroes', unmapsToZeros: boolean) =>
      shapes(io(kind, 0, 512), { unmapsToZeros })[0]?.unmap;
    expect(unmap('discard', true)).toBe(true);
    expect(unmap('discard', false)).toBe(false);
    expect(unmap('write-zeroes', true)).toBe(false);
  });

  it('WRITE SAME is split at its own limit and carries one block of zeros', () => {
    const pieces = [...translate(io('write-zeroes', 512, 7 * 512), FACTS)];
    expect(pieces.map(({ cdb }) => [asked(cdb).lba, asked(cdb).blocks])).toEqual([
      [1, 3],
      [4, 3],
      [7, 1],
    ]);
    for (const { dataOut } of pieces) expect(dataOut?.equals(Buffer.alloc(512))).toBe(true);
  });
});
