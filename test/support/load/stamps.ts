/**
 * The stamped-block workload: blocks that tell where they belong and how old they are, so that a reader
 * can see lost, stale and torn writes. fio's verify checks the last write it knows of and misses a
 * ghost write (an abandoned path executing old data) on a block that is rewritten afterwards; a stamp
 * carries a sequence number, so anything older than the last acknowledged write is caught.
 *
 * A block is 4 KiB. Each of its eight 512-byte sectors starts with {magic, volume, block number,
 * sequence, writer epoch, sector index} and is filled with a word made of them; the last four bytes of
 * the block are the CRC-32 of the rest. Sector headers say of a torn block which halves are how old.
 *
 * The ledger is what the writer knows: per block the sequence last acknowledged and the last issued
 * (they differ for a write that was never answered or answered with an error: it may or may not have
 * happened). It is a file, so that any process can verify, and a later writer can go on from it.
 * A good block has acknowledged <= sequence <= issued.
 *
 * stamp-writer.ts is the writer (a process of its own), stamps-load.ts starts and watches it.
 */
import { execFile } from 'node:child_process';
import { constants, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';

export const BLOCK = 4096;
const SECTOR = 512;
const HEADER = 24;
const MAGIC = 0x31535050; // "PPS1"
const CRC_AT = BLOCK - 4;

export interface Stamp {
  /** Hash of the volume's name, see `volumeHash`. */
  readonly volume: number;
  readonly block: number;
  /** 1 for the first write of a block, one more for each further write. */
  readonly sequence: number;
  /** Number of the writer: 1, 2 … for writers that followed one another on one ledger. */
  readonly epoch: number;
}

/** FNV-1a of a volume's name: enough to tell volumes of one test apart. */
export function volumeHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

// WebAssembly has no types without lib.dom; this is all that is used of it.
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
};

/**
 * A page-aligned buffer, as O_DIRECT needs it. Node's own allocations sit at malloc's offset (16 bytes
 * into the page, so that EINVAL is the answer); the memory of a WebAssembly instance is mapped, and
 * therefore starts on a page boundary. Measured on Node 24.
 */
export function alignedBuffer(bytes: number): Buffer {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65_536) });
  return Buffer.from(memory.buffer, 0, bytes);
}

/** Writes the stamp over a whole block. `buffer` must be 4 KiB long and 4-byte aligned. */
export function encodeStamp(buffer: Buffer, stamp: Stamp): void {
  const words = new Uint32Array(buffer.buffer, buffer.byteOffset, BLOCK / 4);
  words.fill(Math.imul(stamp.sequence ^ 0x9e3779b9, stamp.block * 2 + 1) >>> 0);
  for (let sector = 0; sector < BLOCK / SECTOR; sector++) {
    const at = sector * SECTOR;
    buffer.writeUInt32LE(MAGIC, at);
    buffer.writeUInt32LE(stamp.volume, at + 4);
    buffer.writeUInt32LE(stamp.block, at + 8);
    buffer.writeUInt32LE(stamp.sequence, at + 12);
    buffer.writeUInt32LE(stamp.epoch, at + 16);
    buffer.writeUInt32LE(sector, at + 20);
  }
  buffer.writeUInt32LE(crc32(buffer.subarray(0, CRC_AT)), CRC_AT);
}

/** What the ledger says a block must hold. */
export interface Expected {
  readonly volume: number;
  readonly block: number;
  readonly acked: number;
  readonly issued: number;
  readonly epoch: number;
}

export type BlockFault =
  | 'lost' // zeros or bytes of somebody else where an acknowledged write should be
  | 'stale' // an older write than the last acknowledged one
  | 'torn' // parts of several writes, or of one
  | 'misplaced'; // a whole stamp that never was written to this place

export interface Verdict {
  readonly fault: BlockFault | undefined;
  /** What was found, for a human; empty when good. */
  readonly detail: string;
}

const GOOD: Verdict = { fault: undefined, detail: '' };

/** Judges the content of one block that was acknowledged at least once. */
export function judge(buffer: Buffer, expected: Expected): Verdict {
  const place = `block ${String(expected.block)}`;
  const sequences = sectorSequences(buffer);
  if (sequences.every((sequence) => sequence === undefined)) {
    const what = buffer.every((byte) => byte === 0) ? 'zeros' : 'garbage';
    return { fault: 'lost', detail: `${place}: ${what}, expected sequence ${range(expected)}` };
  }
  if (crc32(buffer.subarray(0, CRC_AT)) !== buffer.readUInt32LE(CRC_AT)) {
    const found = sequences.map((sequence) => sequence ?? '-').join(' ');
    return { fault: 'torn', detail: `${place}: bad CRC, sequences by sector: ${found}` };
  }
  const [volume, block] = [buffer.readUInt32LE(4), buffer.readUInt32LE(8)];
  const [sequence, epoch] = [buffer.readUInt32LE(12), buffer.readUInt32LE(16)];
  const found = `sequence ${String(sequence)} of writer ${String(epoch)}`;
  if (volume !== expected.volume || block !== expected.block) {
    const detail = `${place}: holds block ${String(block)} of volume ${volume.toString(16)}, ${found}`;
    return { fault: 'misplaced', detail };
  }
  if (sequence > expected.issued || epoch > expected.epoch) {
    return { fault: 'misplaced', detail: `${place}: ${found}, expected ${range(expected)}` };
  }
  if (sequence < expected.acked) {
    return { fault: 'stale', detail: `${place}: ${found}, expected ${range(expected)}` };
  }
  return GOOD;
}

function sectorSequences(buffer: Buffer): (number | undefined)[] {
  return Array.from({ length: BLOCK / SECTOR }, (_, sector) => {
    const at = sector * SECTOR;
    const valid = buffer.readUInt32LE(at) === MAGIC && buffer.readUInt32LE(at + 20) === sector;
    return valid ? buffer.readUInt32LE(at + HEADER - 12) : undefined;
  });
}

function range({ acked, issued }: Expected): string {
  return acked === issued ? String(acked) : `${String(acked)}..${String(issued)}`;
}

// ---------------------------------------------------------------------------------------- ledger

export interface Ledger {
  readonly volume: number;
  readonly epoch: number;
  /** Number of the first block of the file that belongs to this writer. */
  readonly firstBlock: number;
  /** Per block: last acknowledged sequence; 0: none. */
  readonly acked: Uint32Array;
  /** Per block: last issued sequence. */
  readonly issued: Uint32Array;
}

export function newLedger(volume: string, firstBlock: number, blocks: number): Ledger {
  const [acked, issued] = [new Uint32Array(blocks), new Uint32Array(blocks)];
  return { volume: volumeHash(volume), epoch: 1, firstBlock, acked, issued };
}

/** Writes the ledger so that a reader sees the old one or the new one, whole. */
export function saveLedger(path: string, ledger: Ledger): void {
  const { volume, epoch, firstBlock } = ledger;
  const text = (words: Uint32Array): string => Buffer.from(words.buffer).toString('base64');
  const file = {
    volume,
    epoch,
    firstBlock,
    acked: text(ledger.acked),
    issued: text(ledger.issued),
  };
  writeFileSync(`${path}.new`, JSON.stringify(file));
  renameSync(`${path}.new`, path);
}

export function loadLedger(path: string): Ledger {
  const file = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const number = (name: string): number => Number(file[name]);
  const words = (name: string): Uint32Array =>
    new Uint32Array(new Uint8Array(Buffer.from(String(file[name]), 'base64')).buffer);
  return {
    volume: number('volume'),
    epoch: number('epoch'),
    firstBlock: number('firstBlock'),
    acked: words('acked'),
    issued: words('issued'),
  };
}

/** Mean number of acknowledged writes per block that was written at all. */
export function rewritesPerBlock(ledger: Ledger): number {
  const written = ledger.acked.filter((sequence) => sequence > 0);
  return written.length === 0 ? 0 : written.reduce((sum, n) => sum + n, 0) / written.length;
}

// ---------------------------------------------------------------------------------- verification

export interface Verification {
  /** Blocks read and found good. */
  readonly verified: number;
  readonly lost: number;
  readonly stale: number;
  readonly torn: number;
  readonly misplaced: number;
  /** Blocks that could not be read. */
  readonly errors: number;
  /** Blocks of the ledger that no acknowledged write ever touched; nothing is known of them. */
  readonly unwritten: number;
  /** The first of what was found, for a human. */
  readonly details: readonly string[];
}

/** Whether every block that was ever acknowledged is there, and there was one. */
export function isClean(found: Verification): boolean {
  const { lost, stale, torn, misplaced, errors } = found;
  return found.verified > 0 && lost + stale + torn + misplaced + errors === 0;
}

/** Fills the 4 KiB buffer with the given block of the file. */
export type BlockReader = (block: number, buffer: Buffer) => Promise<void>;

const READERS = 4;
const DETAILS = 20;

/** Reads every block of the ledger and judges it. Never rejects for what it finds. */
export async function verify(read: BlockReader, ledger: Ledger): Promise<Verification> {
  const counts = { verified: 0, lost: 0, stale: 0, torn: 0, misplaced: 0, errors: 0, unwritten: 0 };
  const details: string[] = [];
  const note = (what: keyof typeof counts, detail: string): void => {
    counts[what]++;
    if (detail !== '' && details.length < DETAILS) details.push(`${what}: ${detail}`);
  };
  const check = async (index: number, buffer: Buffer): Promise<void> => {
    const [acked, issued] = [ledger.acked[index] ?? 0, ledger.issued[index] ?? 0];
    if (acked === 0) {
      note('unwritten', '');
      return;
    }
    const block = ledger.firstBlock + index;
    try {
      await read(block, buffer);
    } catch (error) {
      note('errors', `block ${String(block)}: ${String(error)}`);
      return;
    }
    const { volume, epoch } = ledger;
    const { fault, detail } = judge(buffer, { volume, block, acked, issued, epoch });
    note(fault ?? 'verified', detail);
  };
  let next = 0;
  const memory = alignedBuffer(READERS * BLOCK);
  const readers = Array.from({ length: READERS }, async (_, reader) => {
    const buffer = memory.subarray(reader * BLOCK, (reader + 1) * BLOCK);
    for (let index = next++; index < ledger.acked.length; index = next++)
      await check(index, buffer);
  });
  await Promise.all(readers);
  return { ...counts, details };
}

/** Verifies through the mounted file system, past the page cache (O_DIRECT). */
export async function verifyFile(path: string, ledger: Ledger): Promise<Verification> {
  const file = await open(path, constants.O_RDONLY | constants.O_DIRECT);
  try {
    return await verify((block, buffer) => readAt(file, buffer, block * BLOCK), ledger);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, buffer: Buffer, position: number): Promise<void> {
  const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
  if (bytesRead !== buffer.length) throw new Error(`short read of ${String(bytesRead)} bytes`);
}

/** A run of the file that lies in one piece on the device; all in 512-byte sectors. */
export interface Extent {
  readonly logical: number;
  readonly physical: number;
  readonly length: number;
}

/**
 * Where the file is on its device (FIEMAP through filefrag). In sectors, because the blocks of a small
 * ext4 are 1 KiB: one of our blocks may then begin anywhere and lie in several pieces.
 */
export async function extentsOf(path: string): Promise<Extent[]> {
  const run = promisify(execFile);
  const { stdout } = await run('filefrag', ['-e', `-b${String(SECTOR)}`, path], {
    timeout: 10_000,
  });
  return parseExtents(stdout);
}

/** Parses lines like "   0:        0..    1023:      34816..     35839:   1024:   last,eof". */
export function parseExtents(text: string): Extent[] {
  const line = /^\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+):/gm;
  return [...text.matchAll(line)].map(([, logical, physical, length]) => {
    return { logical: Number(logical), physical: Number(physical), length: Number(length) };
  });
}

/** Where a block of the file is: the pieces of the device that make it up, in bytes. */
export function locate(block: number, extents: readonly Extent[]): [at: number, length: number][] {
  const pieces: [number, number][] = [];
  const end = (block + 1) * (BLOCK / SECTOR);
  for (let sector = block * (BLOCK / SECTOR); sector < end;) {
    const extent = extents.find((e) => sector >= e.logical && sector < e.logical + e.length);
    if (extent === undefined) throw new Error('no extent holds this block');
    const length = Math.min(end, extent.logical + extent.length) - sector;
    pieces.push([(extent.physical + sector - extent.logical) * SECTOR, length * SECTOR]);
    sector += length;
  }
  return pieces;
}

/**
 * Verifies on the device or backing file itself, without the file system and without the paths that
 * carried the writes. The file system must start at offset 0 of it.
 */
export async function verifyExtents(
  device: string,
  extents: readonly Extent[],
  ledger: Ledger,
): Promise<Verification> {
  const file = await open(device, 'r');
  const read = async (block: number, buffer: Buffer): Promise<void> => {
    let done = 0;
    for (const [at, length] of locate(block, extents)) {
      await readAt(file, buffer.subarray(done, done + length), at);
      done += length;
    }
  };
  try {
    return await verify(read, ledger);
  } finally {
    await file.close();
  }
}
