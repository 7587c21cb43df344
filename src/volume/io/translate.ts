/**
 * One block request → the SCSI commands that carry it out on a given logical unit: split at the unit's
 * transfer limits, write-through as the unit allows it, zeros that are really zeros.
 *
 * Write policy `through`: no acknowledged write may sit in a volatile cache only. With a cache and FUA
 * every WRITE carries FUA; with a cache and no FUA, and for WRITE SAME, which has no FUA bit, the answer
 * waits for a flush (sync-group.ts). Write policy `log` does this only for requests that ask for it.
 *
 * Discard must leave zeros (the kernel uses one call for "discard" and for "zero, may unmap"). UNMAP
 * does not promise that, it may skip blocks; WRITE SAME with the UNMAP bit does where the unit reads
 * unmapped blocks as zeros (SBC-3 5.50). Without that, WRITE SAME writes the zeros.
 */
import { assert } from '../../base/assert.ts';
import type { IoRequest } from '../../ports/block.ts';
import type { LateBuffer } from '../../ports/read-buffer.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { BLOCK_SIZES } from '../unit/identity.ts';
import type { LuFacts } from '../unit/lu.ts';

/** One command of a request. */
export interface Piece {
  readonly cdb: Uint8Array;
  readonly dataOut: Buffer | undefined;
  readonly dataIn: Buffer | LateBuffer | undefined;
  /** Of dataIn, as ScsiCommand has it. */
  readonly tailroom?: number | undefined;
}

const ZERO_BLOCK = Buffer.alloc(Math.max(...BLOCK_SIZES));

/** Whether the answer to a request must wait for a flush; `logged`: under write policy `log`. */
export function needsFlush(request: IoRequest, facts: LuFacts, logged = false): boolean {
  if (request.kind === 'flush') return true;
  if (facts.writeCache === 'none' || (logged && !request.fua)) return false;
  if (request.kind === 'write') return !facts.fua;
  return request.kind === 'discard' || request.kind === 'write-zeroes';
}

/**
 * The commands of a request, none for a flush. Offsets are whole blocks by contract. `logged`: under
 * write policy `log`. One is made when it is asked for: a unit that zeros a few blocks with a command needs
 * a million of them for a large discard.
 */
export function translate(request: IoRequest, facts: LuFacts, logged = false): Iterable<Piece> {
  switch (request.kind) {
    case 'read':
    case 'write':
      return transfer(request, facts, request.fua || !logged);
    case 'discard':
    case 'write-zeroes':
      return writeSame(request, facts);
    case 'flush':
      return [];
  }
}

function transfer(request: IoRequest, facts: LuFacts, stable: boolean): Iterable<Piece> {
  const { kind, offset, length, late } = request;
  // Not even looked at where it can wait: looking takes the memory.
  const data = kind === 'read' && late !== undefined ? late : request.data;
  assert(data?.length === length, 'a transfer has a buffer of its length');
  const step = facts.maxTransferBlocks * facts.blockSize;
  const fua = stable && facts.writeCache !== 'none' && facts.fua;
  const piece = (at: number, part: Buffer | LateBuffer, tailroom: number | undefined): Piece => {
    const lba = at / facts.blockSize;
    const blocks = part.length / facts.blockSize;
    return kind === 'read' || !(part instanceof Uint8Array)
      ? { cdb: cdb.read16(lba, blocks), dataOut: undefined, dataIn: part, tailroom }
      : { cdb: cdb.write16(lba, blocks, { fua }), dataOut: part, dataIn: undefined };
  };
  if (length <= step) return [piece(offset, data, request.tailroom)];
  return steps(0, length, step, (at, size) => {
    // Behind any piece but the last lies the data of the next.
    const tailroom = at + size < length ? undefined : request.tailroom;
    return piece(offset + at, slice(data, at, at + size), tailroom);
  });
}

/** What `make` makes of each step from `start` to `end`, when it is asked for. */
function* steps(
  start: number,
  end: number,
  step: number,
  make: (at: number, size: number) => Piece,
): Generator<Piece, void, undefined> {
  for (let at = start; at < end; at += step) yield make(at, Math.min(step, end - at));
}

function slice(data: Buffer | LateBuffer, start: number, end: number): Buffer | LateBuffer {
  if (data instanceof Uint8Array) return data.subarray(start, end);
  return { length: end - start, buffer: () => data.buffer().subarray(start, end) };
}

function writeSame(request: IoRequest, facts: LuFacts): Iterable<Piece> {
  const { kind, offset, length } = request;
  const { blockSize, maxWriteSameBlocks } = facts;
  const unmap = kind === 'discard' && facts.unmapsToZeros;
  const dataOut = ZERO_BLOCK.subarray(0, blockSize);
  const end = (offset + length) / blockSize;
  return steps(offset / blockSize, end, maxWriteSameBlocks, (lba, blocks) => {
    return { cdb: cdb.writeSame16(lba, blocks, { unmap }), dataOut, dataIn: undefined };
  });
}
