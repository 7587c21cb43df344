/**
 * Two slots of equal size in one file: a text is written to the slot that does not have the latest text.
 * Whatever a crash leaves of that slot, the other one can still be read. The newest slot that is whole is
 * the record. Pure.
 *
 *   0   magic     8 bytes
 *   8   generation, 64 bits: the larger one is newer
 *   16  length of the text, bytes
 *   20  size of the slot, bytes: half of the file, or it is not the file that was written
 *   24  CRC32C of all this but the magic
 *   28  the text, UTF-8
 */
import { get32, get64, put32, put64 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';

const MAGIC = Buffer.from('PPATHREC', 'latin1');
const GENERATION = 8;
const LENGTH = 16;
const SIZE = 20;
const CHECKSUM = 24;
const TEXT = 28;

export type SlotIndex = 0 | 1;

export interface Slot {
  readonly index: SlotIndex;
  readonly generation: number;
  readonly text: string;
}

/** What a slot takes to hold the text. */
export function slotBytesFor(text: string): number {
  return TEXT + Buffer.byteLength(text);
}

/** A slot as it is written, without what lies behind the text. */
export function encodeSlot(generation: number, text: string, slotBytes: number): Buffer {
  const slot = Buffer.alloc(slotBytesFor(text));
  slot.set(MAGIC, 0);
  put64(slot, GENERATION, generation);
  put32(slot, LENGTH, slot.length - TEXT);
  put32(slot, SIZE, slotBytes);
  slot.write(text, TEXT, 'utf8');
  put32(slot, CHECKSUM, checksum(slot, slot.length));
  return slot;
}

/** The newest slot of a file that is whole; undefined: none is. */
export function newestSlot(file: Buffer): Slot | undefined {
  const half = file.length / 2;
  if (!Number.isInteger(half)) return undefined;
  const [first, second] = [readSlot(file.subarray(0, half), 0), readSlot(file.subarray(half), 1)];
  if (first === undefined || second === undefined) return first ?? second;
  return first.generation > second.generation ? first : second;
}

function readSlot(slot: Buffer, index: SlotIndex): Slot | undefined {
  if (slot.length < TEXT || !slot.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (get32(slot, SIZE) !== slot.length) return undefined;
  const end = TEXT + get32(slot, LENGTH);
  if (end > slot.length || get32(slot, CHECKSUM) !== checksum(slot, end)) return undefined;
  return { index, generation: get64(slot, GENERATION), text: slot.toString('utf8', TEXT, end) };
}

function checksum(slot: Buffer, end: number): number {
  return crc32c(slot, crc32c(slot, 0, GENERATION, CHECKSUM), TEXT, end);
}
