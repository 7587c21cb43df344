import { describe, expect, it } from 'vitest';
import type { DiskProperties } from '../../../../src/protocol/fuse/one-file.ts';
import { FuseResponse, respond } from '../../../../src/protocol/fuse/one-file.ts';
import { FuseRequest, decodeRequest } from '../../../../src/protocol/fuse/request.ts';
import { REPLY_BYTES } from '../../../../src/protocol/fuse/reply.ts';
import { Errno, Opcode } from '../../../../src/protocol/fuse/wire.ts';
import { DISK, fallocateBody, initBody, readBody, request, words, writeBody } from './support.ts';

interface Outcome {
  action: FuseResponse['action'];
  length: number;
  /** Positive errno of the reply, 0 for success, undefined without a reply. */
  errno: number | undefined;
  reply: Buffer;
}

function ask(bytes: Buffer, disk: DiskProperties = DISK): Outcome {
  const decoded = new FuseRequest();
  expect(decodeRequest(bytes, bytes.length, decoded)).toBeUndefined();
  const reply = Buffer.alloc(REPLY_BYTES, 0xee);
  const response = new FuseResponse();
  respond(decoded, bytes, disk, reply, response);
  const { action, length, replyBytes } = response;
  if (action !== 'reply') return { action, length, errno: undefined, reply: Buffer.alloc(0) };
  expect(reply.readUInt32LE(0)).toBe(replyBytes);
  expect(reply.readBigUInt64LE(8)).toBe(bytes.readBigUInt64LE(8));
  return {
    action,
    length,
    errno: Math.abs(reply.readInt32LE(4)),
    reply: reply.subarray(16, replyBytes),
  };
}

function name(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

describe('INIT', () => {
  it('speaks the lower minor and takes only flags that the kernel offers', () => {
    const wanted = (1 << 0) | (1 << 5) | (1 << 15) | (1 << 18) | (1 << 22) | (1 << 30);
    const { errno, reply } = ask(request(Opcode.init, 0, initBody(38, -1, 0xffff_ffff)));
    expect(errno).toBe(0);
    expect(reply.length).toBe(64);
    expect(reply.readUInt32LE(4)).toBe(38);
    expect(reply.readUInt32LE(12)).toBe(wanted);
    expect(reply.readUInt16LE(16)).toBe(64);
    expect(reply.readUInt32LE(20)).toBe(1 << 18);
    expect(reply.readUInt16LE(28)).toBe(64);
    expect(reply.readUInt32LE(32)).toBe(1 << 7);
    const newer = ask(request(Opcode.init, 0, initBody(99, 1 << 5, 0xffff_ffff))).reply;
    expect(newer.readUInt32LE(4)).toBe(45);
    expect(newer.readUInt32LE(12)).toBe(1 << 5);
    expect(newer.readUInt32LE(32)).toBe(0);
  });

  it('refuses a kernel whose INIT reply has another size', () => {
    expect(ask(request(Opcode.init, 0, initBody(22, 0))).errno).toBe(Errno.EPROTO);
  });
});

describe('names and attributes', () => {
  it('has the one file', () => {
    const { errno, reply } = ask(request(Opcode.lookup, 1, name('disk')));
    expect(errno).toBe(0);
    expect(reply.length).toBe(128);
    expect(reply.readBigUInt64LE(0)).toBe(2n);
    expect(reply.readBigUInt64LE(48)).toBe(1n << 20n);
    expect(reply.readUInt32LE(100)).toBe(0o100600);
  });

  it.each([
    [1, 'other'],
    [1, 'disk2'],
    [1, ''],
    [2, 'disk'],
  ])('has nothing else: node %i, %j', (node, text) => {
    expect(ask(request(Opcode.lookup, node, name(text))).errno).toBe(Errno.ENOENT);
  });

  it('lets attributes be cached for ever, so that no losetup of the node waits for this process', () => {
    const { reply } = ask(request(Opcode.getattr, 2, words(0, 0)));
    expect(reply.length).toBe(104);
    expect(reply.readBigUInt64LE(0)).toBe(3_153_600_000n);
    expect(reply.readBigUInt64LE(24)).toBe(1n << 20n);
  });

  it('shows a read-only disk as such, and refuses to open it for writing', () => {
    const disk = { ...DISK, readOnly: true };
    const attr = ask(request(Opcode.getattr, 2, words(0, 0)), disk).reply;
    expect(attr.readUInt32LE(16 + 60)).toBe(0o100400);
    expect(ask(request(Opcode.open, 2, words(0o2)), disk).errno).toBe(Errno.EROFS);
    expect(ask(request(Opcode.open, 2, words(0o0)), disk).errno).toBe(0);
  });

  it('refuses truncation', () => {
    expect(ask(request(Opcode.setattr, 2, Buffer.alloc(88))).errno).toBe(Errno.EPERM);
  });

  it('lists the directory, also in pieces', () => {
    const all = ask(request(Opcode.readdir, 1, readBody(0, 4096))).reply;
    expect(all.toString('latin1')).toContain('disk');
    expect(all.length).toBe(32 * 3);
    const piece = ask(request(Opcode.readdir, 1, readBody(2, 40))).reply;
    expect(piece.toString('latin1', 24, 28)).toBe('disk');
    expect(ask(request(Opcode.readdir, 1, readBody(3, 4096))).reply.length).toBe(0);
    expect(ask(request(Opcode.readdir, 1, readBody(0, 8))).reply.length).toBe(0);
  });

  it('gives the block size as f_bsize, which loop takes as discard granularity', () => {
    const { reply } = ask(request(Opcode.statfs, 1, Buffer.alloc(0)), { ...DISK, blockSize: 4096 });
    expect(reply.readUInt32LE(40)).toBe(4096);
  });
});

describe('I/O', () => {
  it('passes reads and writes on with offset and length', () => {
    expect(ask(request(Opcode.read, 2, readBody(4096, 8192)))).toMatchObject({
      action: 'read',
      length: 8192,
    });
    expect(ask(request(Opcode.write, 2, writeBody(512, Buffer.alloc(1024))))).toMatchObject({
      action: 'write',
      length: 1024,
    });
  });

  it('shortens a read at the end and answers one behind it with no data', () => {
    expect(ask(request(Opcode.read, 2, readBody((1 << 20) - 512, 4096)))).toMatchObject({
      action: 'read',
      length: 512,
    });
    const behind = ask(request(Opcode.read, 2, readBody(1 << 20, 4096)));
    expect(behind).toMatchObject({ action: 'reply', errno: 0 });
    expect(behind.reply.length).toBe(0);
  });

  it.each([
    ['a write over the end', Opcode.write, writeBody((1 << 20) - 512, Buffer.alloc(1024))],
    ['a write at 2^60', Opcode.write, writeBody(1n << 60n, Buffer.alloc(512))],
    ['an unaligned write', Opcode.write, writeBody(511, Buffer.alloc(512))],
    ['an unaligned length', Opcode.write, writeBody(512, Buffer.alloc(100))],
    ['an empty write', Opcode.write, writeBody(512, Buffer.alloc(0))],
    ['an unaligned read', Opcode.read, readBody(1, 512)],
    ['a read larger than agreed', Opcode.read, readBody(0, (1 << 20) + 4096)],
    ['a discard over the end', Opcode.fallocate, fallocateBody(3, 0, 2 << 20)],
    ['an empty discard', Opcode.fallocate, fallocateBody(3, 0, 0)],
  ])('refuses %s', (_, opcode, body) => {
    expect(ask(request(opcode, 2, body))).toMatchObject({ action: 'reply', errno: Errno.EINVAL });
  });

  it('maps punch hole to discard and zero range to write-zeroes', () => {
    expect(ask(request(Opcode.fallocate, 2, fallocateBody(0x03, 512, 512))).action).toBe('discard');
    expect(ask(request(Opcode.fallocate, 2, fallocateBody(0x11, 512, 512)))).toMatchObject({
      action: 'write-zeroes',
      length: 512,
    });
  });

  it.each([0, 0x01, 0x02, 0x10, 0x13])('supports no other fallocate mode: %i', (mode) => {
    const { errno } = ask(request(Opcode.fallocate, 2, fallocateBody(mode, 0, 512)));
    expect(errno).toBe(Errno.EOPNOTSUPP);
  });

  it('says EOPNOTSUPP, never ENOSYS, where the volume cannot discard or write zeroes', () => {
    const disk = { ...DISK, canDiscard: false, canWriteZeroes: false };
    for (const mode of [0x03, 0x11]) {
      const { errno } = ask(request(Opcode.fallocate, 2, fallocateBody(mode, 0, 512)), disk);
      expect(errno).toBe(Errno.EOPNOTSUPP);
    }
  });

  it('makes a flush of FSYNC and answers FLUSH, which is close(2), at once', () => {
    expect(ask(request(Opcode.fsync, 2, words(0, 0))).action).toBe('flush');
    expect(ask(request(Opcode.flush, 2, words(0, 0, 0))).errno).toBe(0);
  });

  it('changes nothing on a read-only disk', () => {
    const disk = { ...DISK, readOnly: true };
    const write = request(Opcode.write, 2, writeBody(0, Buffer.alloc(512)));
    expect(ask(write, disk).errno).toBe(Errno.EROFS);
    expect(ask(request(Opcode.fallocate, 2, fallocateBody(3, 0, 512)), disk).errno).toBe(
      Errno.EROFS,
    );
  });

  it('does no I/O on the directory', () => {
    expect(ask(request(Opcode.read, 1, readBody(0, 512))).errno).toBe(Errno.EISDIR);
  });
});

describe('everything else', () => {
  it.each([Opcode.forget, Opcode.batchForget, Opcode.interrupt])('opcode %i has no reply', (op) => {
    expect(ask(request(op, 2, words(1))).action).toBe('none');
  });

  it.each([5, 8, 9, 22, 34, 39, 46, 47, 52, 4096])('opcode %i is not implemented', (opcode) => {
    expect(ask(request(opcode, 2, words(0, 0))).errno).toBe(Errno.ENOSYS);
  });

  it.each([Opcode.release, Opcode.releasedir, Opcode.destroy])('opcode %i succeeds', (opcode) => {
    expect(ask(request(opcode, 2, words(0, 0, 0))).errno).toBe(0);
  });
});
