import { describe, expect, it } from 'vitest';
import { FuseRequest, decodeRequest } from '../../../../src/protocol/fuse/request.ts';
import { Opcode } from '../../../../src/protocol/fuse/wire.ts';
import { readBody, request, writeBody } from './support.ts';

describe('decodeRequest', () => {
  it('keeps all 64 bits of unique, so that a resent request is answered', () => {
    const bytes = request(Opcode.read, 2, readBody(0, 512));
    bytes.writeBigUInt64LE(0x8000_0001_0000_0002n, 8);
    const decoded = new FuseRequest();
    expect(decodeRequest(bytes, bytes.length, decoded)).toBeUndefined();
    expect([decoded.uniqueHigh, decoded.uniqueLow]).toEqual([0x8000_0001, 2]);
  });

  it('reads offsets above 4 GiB and saturates above 2^53', () => {
    const decoded = new FuseRequest();
    const far = request(Opcode.read, 2, readBody(5n * (1n << 32n) + 512n, 512));
    expect(decodeRequest(far, far.length, decoded)).toBeUndefined();
    expect(decoded.offset).toBe(5 * 2 ** 32 + 512);
    const absurd = request(Opcode.read, 2, readBody((1n << 64n) - 512n, 512));
    expect(decodeRequest(absurd, absurd.length, decoded)).toBeUndefined();
    expect(decoded.offset).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('looks at the request only, not at what an earlier one left in the buffer', () => {
    const buffer = Buffer.alloc(4096, 0x41);
    const bytes = request(Opcode.lookup, 1, Buffer.from('disk'));
    bytes.copy(buffer);
    buffer[200] = 0;
    expect(decodeRequest(buffer, bytes.length, new FuseRequest())).toBe('short-body');
  });

  it.each([
    ['a header cut off', request(Opcode.read, 2, readBody(0, 1)).subarray(0, 39), 'short-header'],
    ['a body cut off', request(Opcode.read, 2, readBody(0, 1).subarray(0, 39)), 'short-body'],
    ['less data than announced', shortWrite(), 'short-body'],
    ['a length that is not what was read', wrongLength(), 'length-mismatch'],
  ])('reports %s', (_, bytes, kind) => {
    expect(decodeRequest(bytes, bytes.length, new FuseRequest())).toBe(kind);
  });

  it('reports a size larger than the buffer', () => {
    expect(decodeRequest(Buffer.alloc(40), 41, new FuseRequest())).toBe('short-header');
  });
});

function shortWrite(): Buffer {
  const bytes = request(Opcode.write, 2, writeBody(0, Buffer.alloc(512)));
  bytes.writeUInt32LE(513, 40 + 16);
  return bytes;
}

function wrongLength(): Buffer {
  const bytes = request(Opcode.read, 2, readBody(0, 512));
  bytes.writeUInt32LE(bytes.length + 1, 0);
  return bytes;
}
