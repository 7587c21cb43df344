/** Digests of a session: where they go, in which order their bytes lie, what a wrong one costs. */
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../../src/base/crc32c.ts';
import { get32 } from '../../../../src/base/bytes.ts';
import type { ScsiOutcome } from '../../../../src/ports/session.ts';
import { Field } from '../../../../src/protocol/iscsi/bhs.ts';
import { hasDigest, putDigest } from '../../../../src/protocol/iscsi/digest.ts';
import { Framer } from '../../../../src/protocol/iscsi/framer.ts';
import { FullFeature, type SessionEnd } from '../../../../src/protocol/iscsi/full-feature.ts';
import { read16, write16 } from '../../../../src/protocol/scsi/cdb.ts';
import { dataIn, withDigests } from './pdus.ts';

/** RFC 7143 A.4: "An iSCSI - SCSI Read (10) Command PDU" and its CRC as it goes over the wire. */
const READ_10 = Buffer.from(
  '01c00000000000000000000000000000140000000000040000000014000000182800000000000000' +
    '0200000000000000',
  'hex',
);
const READ_10_DIGEST = Buffer.from('563a96d9', 'hex');

function make(headerDigest: boolean, dataDigest: boolean) {
  const framer = new Framer({ header: () => false, complete: () => false });
  const outcomes: ScsiOutcome[] = [];
  const ends: SessionEnd[] = [];
  const parameters = {
    ...{ headerDigest, dataDigest, maxReceiveSegment: 262_144, maxSendSegment: 8192 },
    ...{ initialR2T: true, immediateData: true, maxBurstLength: 65_536 },
    ...{ firstBurstLength: 65_536, maxOutstandingR2T: 1 },
  };
  const login = { parameters, tsih: 1, cmdSn: 1, maxCmdSn: 100, expStatSn: 1 };
  const session = new FullFeature(framer, login, 1, {
    wantFlush: () => undefined,
    ended: (end) => ends.push(end),
    asynchronous: () => undefined,
  });
  const done = (outcome: ScsiOutcome): void => void outcomes.push(outcome);
  return { framer, session, outcomes, ends, done };
}

describe('a digest', () => {
  it('is the one of RFC 7143 A.4, low byte first', () => {
    const wire = Buffer.alloc(4);
    putDigest(wire, 0, crc32c(READ_10));
    expect(wire).toEqual(READ_10_DIGEST);
    expect(hasDigest(READ_10_DIGEST, 0, crc32c(READ_10))).toBe(true);
  });

  it('follows every header, and padded data; a command without data has none for it', () => {
    const { session, done } = make(true, true);
    session.execute({ cdb: read16(0, 1), dataIn: Buffer.alloc(512), done });
    session.execute({ cdb: write16(0, 1), dataOut: Buffer.from('abcdefg'), done });
    const wire = Buffer.concat(session.nextBatch(1e6));
    const [read, write] = [wire.subarray(0, 48), wire.subarray(52, 100)];
    expect(wire.subarray(0, 52)).toEqual(withDigests(read, { header: true, data: true }));
    const plain = Buffer.concat([write, Buffer.from('abcdefg\0')]);
    expect(wire.subarray(52)).toEqual(withDigests(plain, { header: true, data: true }));
  });

  const damages: [string, number, RegExp][] = [
    ['of a header', 20, /^header digest/u],
    ['of data', 60, /^data digest/u],
  ];
  it.each(damages)(
    'that is wrong ends the session, and nothing is delivered: %s',
    (_, at, text) => {
      const { framer, session, outcomes, ends, done } = make(true, true);
      session.execute({ cdb: read16(0, 1), dataIn: Buffer.alloc(512), done });
      const tag = get32(Buffer.concat(session.nextBatch(1e6)), Field.ITT);
      const answer = dataIn({
        ...{ itt: tag, dataSn: 0, offset: 0, data: Buffer.alloc(512, 7), status: 0 },
        ...{ statSn: 1, expCmdSn: 2, maxCmdSn: 100 },
      });
      const wire = withDigests(answer, { header: true, data: true });
      wire[at] = (wire[at] as number) ^ 1;
      framer.push(wire, wire.length);
      expect(ends).toMatchObject([
        { kind: 'protocol', detail: expect.stringMatching(text) as string },
      ]);
      expect(outcomes).toEqual([]);
      session.abandon();
      expect(outcomes).toEqual([{ kind: 'lost' }]);
    },
  );
});
