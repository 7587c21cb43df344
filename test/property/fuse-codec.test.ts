/** Whatever arrives on /dev/fuse: no throw, no over-read, no reply that the kernel would refuse. */
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { FuseResponse, respond, respondToMalformed } from '../../src/protocol/fuse/one-file.ts';
import { FuseRequest, decodeRequest } from '../../src/protocol/fuse/request.ts';
import { REPLY_BYTES } from '../../src/protocol/fuse/reply.ts';
import { MAX_IO_BYTES, Opcode } from '../../src/protocol/fuse/wire.ts';

const opcode = fc.oneof(fc.constantFrom(...Object.values(Opcode)), fc.nat(0xffff_ffff));
const disk = fc.record({
  sizeBytes: fc.nat(2 ** 31).map((blocks) => blocks * 4096),
  blockSize: fc.constantFrom(512, 4096),
  readOnly: fc.boolean(),
  canDiscard: fc.boolean(),
  canWriteZeroes: fc.boolean(),
});
/** Mostly well-formed: right length field, plausible opcode and node, random rest. */
const bytes = fc
  .tuple(fc.uint8Array({ maxLength: 300 }), opcode, fc.constantFrom(1n, 2n, 3n), fc.boolean())
  .map(([random, code, node, honest]) => {
    const message = Buffer.from(random);
    if (message.length < 40) return message;
    if (honest) message.writeUInt32LE(message.length, 0);
    message.writeUInt32LE(code, 4);
    message.writeBigUInt64LE(node, 16);
    if (honest && code === Opcode.write && message.length >= 80) {
      message.writeUInt32LE(message.length - 80, 56);
    }
    return message;
  });

describe('any bytes', () => {
  it('are decoded or refused, and answered with one well-formed reply or I/O inside the disk', () => {
    fc.assert(
      fc.property(bytes, disk, (message, geometry) => {
        const request = new FuseRequest();
        const reply = Buffer.alloc(REPLY_BYTES);
        const malformed = decodeRequest(message, message.length, request);
        if (malformed !== undefined) {
          const length = respondToMalformed(malformed, request, reply);
          expect(length).toBe(malformed === 'short-header' ? undefined : 16);
          return;
        }
        const response = new FuseResponse();
        respond(request, message, geometry, reply, response);
        if (response.action === 'none' || response.action === 'flush') return;
        if (response.action === 'reply') {
          expect(reply.readUInt32LE(0)).toBe(response.replyBytes);
          expect(reply.readInt32LE(4)).toBeLessThanOrEqual(0);
          expect(reply.readInt32LE(4)).toBeGreaterThan(-512); // the kernel refuses others
          expect(reply.readBigUInt64LE(8)).toBe(message.readBigUInt64LE(8));
          return;
        }
        const { length } = response;
        expect(length).toBeGreaterThan(0);
        expect(request.offset + length).toBeLessThanOrEqual(geometry.sizeBytes);
        expect(request.offset % geometry.blockSize).toBe(0);
        expect(length % geometry.blockSize).toBe(0);
        if (response.action === 'read' || response.action === 'write') {
          expect(length).toBeLessThanOrEqual(MAX_IO_BYTES);
        }
        if (response.action !== 'read') expect(geometry.readOnly).toBe(false);
        if (response.action === 'write') expect(message.length).toBe(80 + length);
      }),
      { numRuns: 20_000 },
    );
  });

  it('give the same result whatever lies behind them in the buffer', () => {
    fc.assert(
      fc.property(bytes, fc.uint8Array({ maxLength: 64 }), (message, rest) => {
        const alone = new FuseRequest();
        const followed = new FuseRequest();
        const buffer = Buffer.concat([message, rest]);
        const first = decodeRequest(message, message.length, alone);
        expect(decodeRequest(buffer, message.length, followed)).toBe(first);
        if (first === undefined) expect(followed).toEqual(alone);
      }),
      { numRuns: 5_000 },
    );
  });
});
