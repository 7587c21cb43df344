/**
 * Decoders on the layouts that targets send; random and cut data:
 * test/property/scsi-decode.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { decodeBlockLimits } from '../../../../src/protocol/scsi/block-limits.ts';
import { decodeCapacity16 } from '../../../../src/protocol/scsi/capacity.ts';
import { decodeDesignators } from '../../../../src/protocol/scsi/designators.ts';
import { decodeInquiry } from '../../../../src/protocol/scsi/inquiry.ts';
import { decodeReportLuns, encodeLun } from '../../../../src/protocol/scsi/lun.ts';
import { decodeCachingMode10, decodeCachingMode6 } from '../../../../src/protocol/scsi/mode.ts';
import { decodeCharacteristics } from '../../../../src/protocol/scsi/characteristics.ts';
import { decodeLogicalBlockProvisioning } from '../../../../src/protocol/scsi/provisioning.ts';
import { decodeSense, formatSense } from '../../../../src/protocol/scsi/sense.ts';
import { statusName } from '../../../../src/protocol/scsi/status.ts';
import { decodeSupportedPages, decodeUnitSerialNumber } from '../../../../src/protocol/scsi/vpd.ts';

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** A VPD page with its length filled in. */
function page(code: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, code, body.length >> 8, body.length & 0xff]), body]);
}

describe('sense data', () => {
  it('in fixed format', () => {
    const sense = decodeSense(bytes('f0 00 03 00012345 0a 00000000 11 04 00 0000 00'));
    expect(sense).toEqual({
      ok: true,
      value: { key: 3, asc: 0x11, ascq: 4, deferred: false, information: 0x12345 },
    });
  });

  it('in descriptor format, with its information', () => {
    const sense = decodeSense(bytes('73 06 29 01 000000 0c 00 0a 80 00 0000000100000002'));
    expect(sense).toEqual({
      ok: true,
      value: { key: 6, asc: 0x29, ascq: 1, deferred: true, information: 0x1_0000_0002 },
    });
  });

  it('without ASC because the target cut it there', () => {
    expect(decodeSense(bytes('70 00 02 00000000 00 ffffffff ffff'))).toMatchObject({
      value: { key: 2, asc: 0, ascq: 0 },
    });
  });

  it('of an unknown format is refused', () => {
    expect(decodeSense(bytes('00'))).toMatchObject({ ok: false, error: { kind: 'malformed' } });
    expect(decodeSense(bytes(''))).toMatchObject({ ok: false, error: { kind: 'short' } });
  });

  it('reads well', () => {
    expect(formatSense({ key: 5, asc: 0x25, ascq: 0 })).toBe('ILLEGAL REQUEST 25/00');
    expect(formatSense({ key: 9, asc: 0x80, ascq: 0xab })).toBe('sense key 9h 80/AB');
    expect(statusName(0x18)).toBe('RESERVATION CONFLICT');
    expect(statusName(0x22)).toBe('status 22h');
  });
});

describe('INQUIRY', () => {
  it('standard data', () => {
    const data = Buffer.concat([
      bytes('20 00 06 12 1f 000000'),
      Buffer.from('IET     VIRTUAL-DISK    0001'),
    ]);
    expect(decodeInquiry(data)).toEqual({
      ok: true,
      value: {
        peripheralQualifier: 1,
        peripheralDeviceType: 0,
        version: 6,
        vendor: 'IET',
        product: 'VIRTUAL-DISK',
        revision: '0001',
      },
    });
    expect(decodeInquiry(data.subarray(0, 35))).toMatchObject({ error: { kind: 'short' } });
  });

  it('pages 00h and 80h', () => {
    expect(decodeSupportedPages(page(0, bytes('00 80 83')))).toMatchObject({
      value: [0, 0x80, 0x83],
    });
    const serial = page(0x80, Buffer.from('  ab 12 '));
    expect(decodeUnitSerialNumber(serial)).toEqual({ ok: true, value: 'ab 12' });
    expect(decodeUnitSerialNumber(page(0x83, Buffer.alloc(4)))).toMatchObject({
      error: { kind: 'malformed' },
    });
    expect(decodeUnitSerialNumber(serial.subarray(0, 8))).toMatchObject({
      error: { kind: 'short' },
    });
  });

  it('page 83h: kind, association and company id of each name', () => {
    const body = Buffer.concat([
      bytes('01 03 00 10 6001405a1b2c3d4e5f60718293a4b5c6'),
      bytes('01 03 00 08 50014051a2b3c4d5'),
      bytes('01 03 00 08 3000000000000000'),
      bytes('01 03 00 08 2123001405aabbcc'),
      bytes('01 02 00 08 001405ffaabbccdd'),
      bytes('01 02 00 10 0011223344556677 001405aabbccddee'),
      bytes('02 01 00 08 4c494f2d4f524720'),
      bytes('53 98 00 08 69716e2e61000000'),
      bytes('01 0a 00 04 10000000'),
      bytes('01 0e 00 00'),
      bytes('01 14 00 04 00000001'),
    ]);
    const result = decodeDesignators(page(0x83, body));
    const names = result.ok ? result.value : [];
    expect(names.map(({ kind, association, oui }) => [kind, association, oui])).toEqual([
      ['naa-6', 'logical-unit', 0x001405],
      ['naa-5', 'logical-unit', 0x001405],
      ['naa-3', 'logical-unit', undefined],
      ['naa-2', 'logical-unit', 0x001405],
      ['eui-64', 'logical-unit', 0x001405],
      ['eui-64', 'logical-unit', 0x001405],
      ['t10-vendor-id', 'logical-unit', undefined],
      ['scsi-name', 'target-port', undefined],
      ['uuid', 'logical-unit', undefined],
      ['other', 'logical-unit', undefined],
      ['relative-target-port', 'target-port', undefined],
    ]);
    expect(names[0]?.value).toBe('6001405a1b2c3d4e5f60718293a4b5c6');
    expect(names[6]?.value).toBe('LIO-ORG');
    expect(names[7]?.value).toBe('iqn.a');
    expect(names[9]?.nonZero).toBe(false);
  });

  it('page 83h with a descriptor that runs past the page is refused', () => {
    const cut = page(0x83, bytes('01 03 00 10 60'));
    expect(decodeDesignators(cut)).toMatchObject({ error: { kind: 'malformed' } });
  });

  it('page B0h: zero means not reported', () => {
    const body = Buffer.alloc(60);
    body[0] = 1;
    body.writeUInt32BE(2048, 4);
    body.writeUInt32BE(0xffff_ffff, 16);
    body.writeUInt32BE(4, 20);
    body.writeUInt32BE(0x8000_0008, 28);
    body.writeBigUInt64BE(65_536n, 32);
    expect(decodeBlockLimits(page(0xb0, body))).toEqual({
      ok: true,
      value: {
        writeSameNonZero: true,
        optimalTransferLengthGranularity: undefined,
        maximumTransferLength: 2048,
        optimalTransferLength: undefined,
        maximumUnmapBlocks: 0xffff_ffff,
        maximumUnmapRanges: 4,
        optimalUnmapGranularity: undefined,
        unmapGranularityAlignment: 8,
        maximumWriteSameBlocks: 65_536,
      },
    });
    expect(decodeBlockLimits(page(0xb0, body.subarray(0, 12)))).toMatchObject({
      value: { maximumTransferLength: 2048, maximumUnmapBlocks: undefined },
    });
  });

  it.each([
    ['0001 00 03 02', { rotationsPerMinute: 0, formFactor: 3, fuab: true }],
    ['1c20 00 02 01', { rotationsPerMinute: 7200, formFactor: 2, verifiesUnmapped: true }],
    ['0000 00 00', { rotationsPerMinute: undefined, formFactor: 0, fuab: false }],
    ['ffff 00 00', { rotationsPerMinute: undefined }],
    ['0400 00 00', { rotationsPerMinute: undefined }],
  ])('page B1h: %s', (body, value) => {
    expect(decodeCharacteristics(page(0xb1, bytes(body)))).toMatchObject({ ok: true, value });
    expect(decodeCharacteristics(page(0xb1, bytes('0001')))).toMatchObject({ ok: false });
  });

  it('page B2h', () => {
    expect(decodeLogicalBlockProvisioning(page(0xb2, bytes('05 e6 02 00')))).toEqual({
      ok: true,
      value: {
        unmap: true,
        writeSame16Unmap: true,
        writeSame10Unmap: true,
        lbprz: 1,
        readsZeros: true,
        anchor: true,
        provisioningType: 2,
        thresholdExponent: 5,
      },
    });
  });
});

describe('READ CAPACITY(16)', () => {
  it('gives size, block size and provisioning', () => {
    const data = bytes('0000000000001fff 00001000 00 03 c000'.padEnd(70, '0'));
    expect(decodeCapacity16(data)).toEqual({
      ok: true,
      value: {
        blocks: 8192,
        blockSize: 4096,
        sizeBytes: 8192 * 4096,
        physicalBlockExponent: 3,
        thin: true,
        readsZeros: true,
      },
    });
  });

  it.each([
    ['a block size of 0', '0000000000001fff 00000000', 'malformed'],
    ['a block size that is no power of two', '0000000000001fff 00000208', 'malformed'],
    ['more bytes than we can count', 'fffffffffffffffe 00000200', 'unsupported'],
    ['too little data', '0000000000001fff', 'short'],
  ])('refuses %s', (_, data, kind) => {
    expect(decodeCapacity16(bytes(data))).toMatchObject({ ok: false, error: { kind } });
  });
});

describe('MODE SENSE', () => {
  const caching = '08 0a 04 00000000000000 0000';
  const value = {
    dpofua: true,
    writeProtected: false,
    writeCacheEnabled: true,
    readCacheDisabled: false,
  };

  it('finds the caching page behind block descriptors and other pages, in both forms', () => {
    const control = '0a 02 0000';
    const subpage = '48 01 0002 ffff'; // page 08h, subpage 01h: another page
    const descriptor = '00'.repeat(8);
    const pages = descriptor + control + subpage + caching;
    const length = bytes(pages).length;
    const six = bytes(`${(length + 3).toString(16)} 00 10 08 ${pages}`);
    expect(decodeCachingMode6(six)).toEqual({ ok: true, value });
    const ten = bytes(`00${(length + 6).toString(16)} 00 10 0000 0008 ${pages}`);
    expect(decodeCachingMode10(ten)).toEqual({ ok: true, value });
  });

  it('shows write protection and a cache that is off', () => {
    expect(decodeCachingMode6(bytes(`0f 00 80 00 ${caching.replace('04', '01')}`))).toEqual({
      ok: true,
      value: {
        dpofua: false,
        writeProtected: true,
        writeCacheEnabled: false,
        readCacheDisabled: true,
      },
    });
  });

  it('without the page, or cut before its flags, is refused', () => {
    expect(decodeCachingMode6(bytes('03 00 10 00'))).toMatchObject({
      error: { kind: 'malformed' },
    });
    expect(decodeCachingMode6(bytes('0f 00 10 00 08 0a'))).toMatchObject({
      error: { kind: 'short' },
    });
    expect(decodeCachingMode10(bytes('00'))).toMatchObject({ error: { kind: 'short' } });
  });
});

describe('LUNs', () => {
  it('are encoded by peripheral addressing up to 255, flat space above', () => {
    expect(Buffer.from(encodeLun(1)).toString('hex')).toBe('0001000000000000');
    expect(Buffer.from(encodeLun(255)).toString('hex')).toBe('00ff000000000000');
    expect(Buffer.from(encodeLun(256)).toString('hex')).toBe('4100000000000000');
    expect(Buffer.from(encodeLun(16_383)).toString('hex')).toBe('7fff000000000000');
    expect(() => encodeLun(16_384)).toThrow('out of range');
  });

  it('are read back from REPORT LUNS, well-known and multi-level ones left out', () => {
    const luns = ['0001000000000000', '4100000000000000', 'c101000000000000', '0001000200000000'];
    const report = bytes(`00000020 00000000 ${luns.join('')}`);
    expect(decodeReportLuns(report)).toEqual({ ok: true, value: [1, 256] });
    expect(decodeReportLuns(report.subarray(0, 39))).toMatchObject({ error: { kind: 'short' } });
  });
});
