/** Command blocks, byte for byte as SPC and SBC draw them. */
import { describe, expect, it } from 'vitest';
import * as cdb from '../../../../src/protocol/scsi/cdb.ts';
import { unmapParameterList } from '../../../../src/protocol/scsi/unmap.ts';

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

const BIG = 0x1f_2345_6789_abcd; // above 32 bits, a safe integer

describe('command blocks', () => {
  it.each([
    ['TEST UNIT READY', cdb.testUnitReady(), '000000000000'],
    ['INQUIRY', cdb.inquiry(255), '12000000ff00'],
    ['INQUIRY VPD 83h', cdb.inquiryVpd(0x83, 0x1234), '120183123400'],
    ['REPORT LUNS', cdb.reportLuns(0x12345), 'a00000000000000123450000'],
    ['READ CAPACITY(16)', cdb.readCapacity16(), '9e10000000000000000000000020'.padEnd(32, '0')],
    ['READ(16)', cdb.read16(BIG, 0x10203), '8800001f23456789abcd000102030000'],
    ['READ(16) FUA', cdb.read16(1, 1, { fua: true }), '88080000000000000001000000010000'],
    ['WRITE(16)', cdb.write16(BIG, 8), '8a00001f23456789abcd000000080000'],
    ['WRITE(16) FUA', cdb.write16(0, 8, { fua: true }), '8a080000000000000000000000080000'],
    ['SYNCHRONIZE CACHE(16)', cdb.synchronizeCache16(), '91000000000000000000000000000000'],
    ['WRITE SAME(16)', cdb.writeSame16(2, 3), '93000000000000000002000000030000'],
    [
      'WRITE SAME(16) UNMAP',
      cdb.writeSame16(2, 3, { unmap: true }),
      '93080000000000000002000000030000',
    ],
    ['UNMAP', cdb.unmap(40), '42000000000000002800'],
    ['MODE SENSE(6)', cdb.modeSense6(8, 255), '1a080800ff00'],
    ['MODE SENSE(10)', cdb.modeSense10(8, 0x1ff), '5a080800000000' + '01ff00'],
  ])('%s', (_, block, expected) => {
    expect(hex(block)).toBe(expected);
  });

  it('UNMAP parameter list', () => {
    const list = unmapParameterList([
      { lba: BIG, blocks: 7 },
      { lba: 0, blocks: 0xffff_ffff },
    ]);
    expect(hex(list)).toBe(
      '0026002000000000' + '001f23456789abcd0000000700000000' + '0000000000000000ffffffff00000000',
    );
  });

  it('refuses a WRITE SAME of no blocks, which would mean the rest of the medium', () => {
    expect(() => cdb.writeSame16(0, 0)).toThrow('zero blocks');
  });
});
