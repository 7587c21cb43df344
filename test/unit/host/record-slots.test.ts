/** Whatever a crash leaves of a write, the record reads as it was before or as it was to be. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeSlot, newestSlot, slotBytesFor } from '../../../src/host/record-slots.ts';

const SLOT = 1024;
const SECTOR = 64;

/** The texts of the two slots, the second one newer. */
function file(first: string | undefined, second: string | undefined): Buffer {
  const bytes = Buffer.alloc(2 * SLOT);
  if (first !== undefined) encodeSlot(7, first, SLOT).copy(bytes);
  if (second !== undefined) encodeSlot(8, second, SLOT).copy(bytes, SLOT);
  return bytes;
}

describe('two slots', () => {
  it('the one of the larger generation is read, wherever it is', () => {
    expect(newestSlot(file('old', 'new'))).toEqual({ index: 1, generation: 8, text: 'new' });
    const swapped = Buffer.concat([file('old', 'new').subarray(SLOT), file('old', 'new')]);
    expect(newestSlot(swapped.subarray(0, 2 * SLOT))).toMatchObject({ index: 0, text: 'new' });
    expect(newestSlot(file('only', undefined))).toMatchObject({ index: 0, text: 'only' });
    expect(newestSlot(file(undefined, 'only'))).toMatchObject({ index: 1, text: 'only' });
  });

  it('a write cut at any byte leaves the one before, or is whole', () => {
    const [older, newer] = [
      'the record before, which was a little longer'.repeat(9),
      'newer'.repeat(50),
    ];
    const before = file(older, 'the one before that, which is overwritten'.repeat(8));
    encodeSlot(9, older, SLOT).copy(before);
    const slot = encodeSlot(10, newer, SLOT);
    for (let length = 0; length <= slot.length; length++) {
      const torn = Buffer.from(before);
      slot.copy(torn, SLOT, 0, length);
      expect(newestSlot(torn)?.text).toBe(length === slot.length ? newer : older);
    }
  });

  it('sectors written in any order, some of them not, leave the one before or the new one', () => {
    const older = 'x'.repeat(700);
    const texts = fc.tuple(fc.string({ maxLength: 900 }), fc.string({ maxLength: 900 }));
    fc.assert(
      fc.property(
        texts,
        fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }),
        ([was, is], on) => {
          fc.pre(slotBytesFor(was) <= SLOT && slotBytesFor(is) <= SLOT);
          const torn = file(older, was);
          encodeSlot(9, older, SLOT).copy(torn);
          const whole = Buffer.from(torn);
          encodeSlot(10, is, SLOT).copy(whole, SLOT);
          for (const [i, isWritten] of on.entries()) {
            const at = SLOT + i * SECTOR;
            if (isWritten) whole.copy(torn, at, at, at + SECTOR);
          }
          expect([older, is]).toContain(newestSlot(torn)?.text);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(2 * SLOT)],
    ['half of a file', file('old', 'new').subarray(0, SLOT)],
    ['an odd length', Buffer.alloc(2 * SLOT + 1)],
    ['a length beyond the slot', Buffer.concat([encodeSlot(1, 'x'.repeat(2 * SLOT - 28), SLOT)])],
  ])('%s is no record', (_, bytes) => {
    expect(newestSlot(bytes)).toBeUndefined();
  });

  it('one bit wrong anywhere is seen', () => {
    const slot = encodeSlot(3, 'text', SLOT);
    for (let bit = 0; bit < 8 * slot.length; bit++) {
      const bytes = Buffer.alloc(2 * SLOT);
      slot.copy(bytes);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(newestSlot(bytes)).toBeUndefined();
    }
  });
});
