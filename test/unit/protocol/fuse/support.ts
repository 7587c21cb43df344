/** Builds FUSE requests byte by byte, as the kernel does. */
import type { DiskProperties } from '../../../../src/protocol/fuse/one-file.ts';

export const DISK: DiskProperties = {
  sizeBytes: 1 << 20,
  blockSize: 512,
  readOnly: false,
  canDiscard: true,
  canWriteZeroes: true,
};

export function request(opcode: number, node: number, body: Buffer, unique = 0x1122334455): Buffer {
  const bytes = Buffer.alloc(40 + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(BigInt(unique), 8);
  bytes.writeBigUInt64LE(BigInt(node), 16);
  body.copy(bytes, 40);
  return bytes;
}

/** Body of 64-bit fields. */
export function words(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), index * 8));
  return bytes;
}

export function readBody(offset: number | bigint, size: number): Buffer {
  return words(0, offset, size, 0, 0);
}

export function writeBody(offset: number | bigint, data: Buffer): Buffer {
  return Buffer.concat([readBody(offset, data.length), data]);
}

export function fallocateBody(mode: number, offset: number, length: number): Buffer {
  return words(0, offset, length, mode);
}

export function initBody(minor: number, flags: number, flags2 = 0): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(7, 0);
  bytes.writeUInt32LE(minor, 4);
  bytes.writeUInt32LE(131072, 8);
  bytes.writeInt32LE(flags, 12);
  bytes.writeUInt32LE(flags2, 16);
  return bytes;
}
