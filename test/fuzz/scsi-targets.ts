/** SCSI data of a target: sense, INQUIRY, VPD pages, mode pages, LUNs, capacity. */
import { decodeBlockLimits } from '../../src/protocol/scsi/block-limits.ts';
import { decodeCapacity16 } from '../../src/protocol/scsi/capacity.ts';
import type { Decoded } from '../../src/protocol/scsi/decode.ts';
import { decodeDesignators } from '../../src/protocol/scsi/designators.ts';
import { decodeInquiry } from '../../src/protocol/scsi/inquiry.ts';
import { decodeReportLuns, encodeLun } from '../../src/protocol/scsi/lun.ts';
import { decodeCachingMode10, decodeCachingMode6 } from '../../src/protocol/scsi/mode.ts';
import {
  decodeFullStatus,
  decodeReadKeys,
  decodeReadReservation,
  decodeReserveCapabilities,
} from '../../src/protocol/scsi/persistent-reserve.ts';
import { decodeLogicalBlockProvisioning } from '../../src/protocol/scsi/provisioning.ts';
import { decodeSense, formatSense } from '../../src/protocol/scsi/sense.ts';
import { decodeSupportedPages, decodeUnitSerialNumber } from '../../src/protocol/scsi/vpd.ts';
import { Disk, MemoryMedium } from '../support/targets/scripted-target/disk.ts';
import {
  capacity16,
  inquiryData,
  lunList,
  modeData,
  vpdPage,
} from '../support/targets/scripted-target/scsi-pages.ts';
import { senseData } from '../support/targets/scripted-target/scsi.ts';
import { bounded, type FuzzTarget, hex, must, same } from './fuzz-target.ts';

const disk = new Disk(new MemoryMedium(1 << 20), { writeCache: true });
const page = (code: number): Buffer => vpdPage(code, { serial: 'serial-61' })!;

/** The answer depends on the bytes that were given, not on what lies behind them in the same buffer. */
function target<T>(
  name: string,
  decode: (bytes: Uint8Array) => Decoded<T>,
  corpus: readonly Buffer[],
  invariant: (value: T, input: Buffer) => void = () => undefined,
): FuzzTarget {
  return {
    name,
    corpus,
    run: (input) => {
      const result = decode(input);
      const larger = Buffer.concat([input, Buffer.alloc(64, 0xa5)]);
      must(same(decode(larger.subarray(0, input.length)), result), 'reads past its bytes');
      bounded(input, result);
      if (result.ok) invariant(result.value, input);
      else must(result.error.detail.length < 400, 'a long error');
    },
  };
}

const byte = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 255;

export const SCSI_TARGETS: readonly FuzzTarget[] = [
  target(
    'scsi-sense',
    decodeSense,
    [
      senseData({ key: 6, asc: 0x29, ascq: 0 }).subarray(2),
      senseData({ key: 5, asc: 0x24, ascq: 0, descriptor: true }).subarray(2),
      hex('72 03 11 00 00 00 00 0c 00 0a 80 00 00 00 00 00 00 00 12 34'),
      hex('f0 00 03 00 00 12 34 0a 00 00 00 00 11 00 00 00 00 00'),
    ],
    (sense) => {
      must(sense.key <= 15 && byte(sense.asc) && byte(sense.ascq), 'codes out of range');
      must(formatSense(sense).length < 200, 'a long description');
    },
  ),
  target('scsi-inquiry', decodeInquiry, [inquiryData({}, true), inquiryData({}, false)]),
  target('scsi-vpd-00', decodeSupportedPages, [page(0x00)]),
  target('scsi-vpd-80', decodeUnitSerialNumber, [page(0x80)], (serial, input) => {
    must(serial.length <= input.length, 'a serial longer than its page');
    must(!/\p{Cc}/u.test(serial), 'control characters in a serial');
  }),
  target(
    'scsi-vpd-83',
    decodeDesignators,
    [page(0x83), hex('00 83 00 14 01 0a 00 12 10 00 00112233445566778899aabbccddeeff')],
    (names, input) => {
      must(names.length <= input.length / 4, 'more names than fit');
      for (const { oui, value } of names) {
        must(oui === undefined || (oui >= 0 && oui <= 0xff_ffff), 'company id out of range');
        must(value.length <= 510, 'a name longer than its descriptor');
      }
    },
  ),
  target(
    'scsi-vpd-b0',
    decodeBlockLimits,
    [page(0xb0), hex('00 b0 00 0c 00 00 00 01 00 00 08 00 00 00 04 00')],
    (limits) => {
      // An alignment of 0 is one: the first granule starts at LBA 0.
      for (const [name, value] of Object.entries(limits)) {
        must(value !== 0 || name === 'unmapGranularityAlignment', 'a limit of nothing');
      }
    },
  ),
  target('scsi-vpd-b2', decodeLogicalBlockProvisioning, [page(0xb2)]),
  target('scsi-mode-sense-6', decodeCachingMode6, [
    modeData(disk, 8, false)!,
    hex('17 00 10 08 0000100000000200 08 12 04 00 ffff 0000 ffff ffff 80 14 00000000 0000'),
  ]),
  target('scsi-mode-sense-10', decodeCachingMode10, [modeData(disk, 8, true)!]),
  target(
    'scsi-report-luns',
    decodeReportLuns,
    [lunList([0, 1, 255, 256, 16_383]), lunList([])],
    (luns) => {
      const report = Buffer.concat([Buffer.alloc(8), ...luns.map(encodeLun)]);
      report.writeUInt32BE(8 * luns.length, 0);
      must(same(decodeReportLuns(report), { ok: true, value: luns }), 'encodes to something else');
    },
  ),
  target('scsi-read-capacity-16', decodeCapacity16, [capacity16(disk, {})], (capacity) => {
    const { blocks, blockSize, sizeBytes } = capacity;
    must(Number.isSafeInteger(sizeBytes) && sizeBytes === blocks * blockSize, 'size');
    must(blocks >= 1 && blockSize >= 512, 'an empty medium');
  }),
  target(
    'scsi-pr-read-keys',
    decodeReadKeys,
    [hex('00 00 00 07 00 00 00 10 00 00 00 00 00 00 00 01 80 00 00 00 00 00 00 00')],
    ({ keys }, input) => {
      must(keys.length * 8 + 8 <= input.length, 'more keys than fit');
      must(
        keys.every((key) => /^[0-9a-f]{16}$/.test(key)),
        'a key that is none',
      );
    },
  ),
  target(
    'scsi-pr-read-reservation',
    decodeReadReservation,
    [hex('00 00 00 01 00 00 00 10 00 00 00 00 00 00 00 ab 00 00 00 00 00 05 00 00')],
    (held) => {
      must(held === undefined || (held.scope <= 15 && held.type <= 15), 'scope or type too large');
    },
  ),
  target(
    'scsi-pr-full-status',
    decodeFullStatus,
    [
      hex(
        '00000002 00000038 0102030405060708 00000000 01 05 00000000 0001 00000020 45 00 001c' +
          '69716e2e323032362d30312e746573743a612c692c307838300000',
      ),
    ],
    (registrants, input) => {
      must(registrants.length * 24 + 8 <= input.length, 'more registrations than fit');
      for (const { initiatorName } of registrants) {
        must(/^[!-~]{0,223}$/.test(initiatorName), 'a name that is none');
      }
    },
  ),
  target('scsi-pr-capabilities', decodeReserveCapabilities, [hex('00 08 0d 80 ea 01 00 00')]),
];
