/** No decoder throws, whatever a target sends; none reads past what it was given. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBlockLimits } from '../../src/protocol/scsi/block-limits.ts';
import { decodeCharacteristics } from '../../src/protocol/scsi/characteristics.ts';
import { decodeCapacity16 } from '../../src/protocol/scsi/capacity.ts';
import { read16, unmap, write16 } from '../../src/protocol/scsi/cdb.ts';
import type { Decoded } from '../../src/protocol/scsi/decode.ts';
import { decodeDesignators } from '../../src/protocol/scsi/designators.ts';
import { decodeInquiry } from '../../src/protocol/scsi/inquiry.ts';
import { decodeReportLuns, encodeLun } from '../../src/protocol/scsi/lun.ts';
import { decodeCachingMode10, decodeCachingMode6 } from '../../src/protocol/scsi/mode.ts';
import { decodeLogicalBlockProvisioning } from '../../src/protocol/scsi/provisioning.ts';
import { decodeSense } from '../../src/protocol/scsi/sense.ts';
import { unmapParameterList } from '../../src/protocol/scsi/unmap.ts';
import { decodeSupportedPages, decodeUnitSerialNumber } from '../../src/protocol/scsi/vpd.ts';

type Decoder = (bytes: Uint8Array) => Decoded<unknown>;

/** First bytes that lead a decoder past its first checks. */
const DECODERS: [string, Decoder, number[]][] = [
  ['sense, fixed', decodeSense, [0x70]],
  ['sense, descriptor', decodeSense, [0x72]],
  ['standard INQUIRY', decodeInquiry, []],
  ['page 00h', decodeSupportedPages, [0, 0x00, 0]],
  ['page 80h', decodeUnitSerialNumber, [0, 0x80, 0]],
  ['page 83h', decodeDesignators, [0, 0x83, 0]],
  ['page B0h', decodeBlockLimits, [0, 0xb0, 0]],
  ['page B1h', decodeCharacteristics, [0, 0xb1, 0]],
  ['page B2h', decodeLogicalBlockProvisioning, [0, 0xb2, 0]],
  ['READ CAPACITY(16)', decodeCapacity16, []],
  ['MODE SENSE(6)', decodeCachingMode6, [0x20, 0, 0, 0]],
  ['MODE SENSE(10)', decodeCachingMode10, [0, 0x20, 0, 0, 0, 0, 0, 0]],
  ['REPORT LUNS', decodeReportLuns, [0, 0, 0]],
];

describe('a decoder', () => {
  it.each(DECODERS)('takes any bytes: %s', (_, decode, prefix) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (noise, guided) => {
        const bytes = guided ? Uint8Array.from([...prefix, ...noise]) : noise;
        const result = decode(bytes);
        // What lies behind the end in the same buffer makes no difference.
        const larger = new Uint8Array(bytes.length + 64).fill(0xa5);
        larger.set(bytes);
        expect(decode(larger.subarray(0, bytes.length))).toEqual(result);
      }),
    );
  });
});

describe('identity', () => {
  it('page 83h gives back every name that was put in', () => {
    const name = fc.tuple(
      fc.nat({ max: 15 }),
      fc.nat({ max: 3 }),
      fc.uint8Array({ maxLength: 32 }),
    );
    fc.assert(
      fc.property(fc.array(name, { maxLength: 8 }), (names) => {
        const body = names.flatMap(([type, association, value]) => [
          0x01,
          (association << 4) | type,
          0,
          value.length,
          ...value,
        ]);
        const header = [0, 0x83, body.length >> 8, body.length & 0xff];
        const result = decodeDesignators(Uint8Array.from([...header, ...body]));
        expect(result.ok && result.value.map((each) => [each.type, each.value])).toEqual(
          names.map(([type, , value]) => [type, Buffer.from(value).toString('hex')]),
        );
      }),
    );
  });

  it('a LUN survives encoding and REPORT LUNS', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 16_383 }), { maxLength: 20 }), (luns) => {
        const report = Buffer.concat([Buffer.alloc(8), ...luns.map(encodeLun)]);
        report.writeUInt32BE(8 * luns.length, 0);
        expect(decodeReportLuns(report)).toEqual({ ok: true, value: luns });
      }),
    );
  });
});

describe('command blocks', () => {
  it('carry LBA and length unchanged', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat({ max: 0xffff_ffff }), (lba, blocks) => {
        for (const block of [read16(lba, blocks), write16(lba, blocks)]) {
          const view = Buffer.from(block);
          expect(Number(view.readBigUInt64BE(2))).toBe(lba);
          expect(view.readUInt32BE(10)).toBe(blocks);
        }
        const list = unmapParameterList([{ lba, blocks }]);
        expect(Number(list.readBigUInt64BE(8))).toBe(lba);
        expect(list.readUInt32BE(16)).toBe(blocks);
        expect(unmap(list.length)[8]).toBe(list.length);
      }),
    );
  });
});
