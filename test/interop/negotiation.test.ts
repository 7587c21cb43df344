/**
 * Every combination of ImmediateData, InitialR2T, burst sizes, MaxRecvDataSegmentLength and digests that
 * two real targets agree to: what is written comes back, and is in the backing file. What was agreed on
 * is checked too, so that a row tests what its name says.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import type { ConnectOptions, Session } from '../../src/ports/session.ts';
import type { SessionParameters } from '../../src/protocol/iscsi/negotiation.ts';
import * as cdb from '../../src/protocol/scsi/cdb.ts';
import type { Istgt } from '../support/targets/istgt.ts';
import type { Target } from '../support/targets/tgt.ts';
import { login, optionsFor, pattern, run, startIstgt, startTarget } from './initiator-rig.ts';

const KIB = 1024;

/** First burst and burst: one PDU at most, between, as they are by default. */
const BURSTS = [
  [512, 512],
  [4096, 16 * KIB],
  [64 * KIB, 64 * KIB],
  [256 * KIB, 1024 * KIB],
] as const;

const DIGESTS = [
  ['none', 'none'],
  ['crc32c', 'none'],
  ['none', 'crc32c'],
  ['crc32c', 'crc32c'],
] as const;

/** Lengths in blocks: one, an odd number, around the usual limits, several bursts. */
const LENGTHS = [1, 17, 127, 513, 2049];

/** Rows at a time, each with blocks of its own. */
const WORKERS = 8;
const AREA = 4096;

interface Row {
  readonly immediateData: boolean;
  readonly initialR2T: boolean;
  readonly bursts: (typeof BURSTS)[number];
  readonly digests: (typeof DIGESTS)[number];
}

const ROWS: Row[] = [true, false].flatMap((immediateData) =>
  [true, false].flatMap((initialR2T) =>
    BURSTS.flatMap((bursts) =>
      DIGESTS.map((digests) => ({ immediateData, initialR2T, bursts, digests })),
    ),
  ),
);

function fileBlock(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const file = openSync(path, 'r');
  readSync(file, bytes, 0, length, offset);
  closeSync(file);
  return bytes;
}

/** A session of this row, past its unit attentions, and what was agreed on. */
async function agreed(
  options: ConnectOptions,
  row: Row,
  maxReceiveSegment: number,
): Promise<{ readonly session: Session; readonly parameters: SessionParameters }> {
  const { immediateData, initialR2T, bursts, digests } = row;
  const [firstBurstLength, maxBurstLength] = bursts;
  let parameters: SessionParameters | undefined;
  const initiator = createInitiator(
    { loggedIn: (_, found) => (parameters = found) },
    { immediateData, initialR2T, firstBurstLength, maxBurstLength, maxReceiveSegment },
  );
  const [headerDigest, dataDigest] = digests;
  const session = await login({ ...options, headerDigest, dataDigest }, initiator);
  for (let tries = 0; tries < 5; tries++) {
    const answer = await run(session, cdb.testUnitReady());
    if (answer.kind === 'status' && answer.status === 0) break;
  }
  if (parameters === undefined) throw new Error('nothing was agreed on');
  return { session, parameters };
}

/** In the worker's own part of the unit. */
async function moveData(
  session: Session,
  backingFile: string,
  { seed, worker }: { readonly seed: number; readonly worker: number },
): Promise<void> {
  let lba = worker * AREA + (seed % 7);
  for (const blocks of LENGTHS) {
    const length = blocks * 512;
    const dataOut = pattern(length, seed + blocks);
    const written = await run(session, cdb.write16(lba, blocks), { dataOut });
    expect(written).toMatchObject({ kind: 'status', status: 0, residual: 0 });
    const dataIn = Buffer.alloc(length);
    const read = await run(session, cdb.read16(lba, blocks), { dataIn });
    expect(read).toMatchObject({ kind: 'status', status: 0, received: length });
    expect(dataIn.equals(pattern(length, seed + blocks))).toBe(true);
    await run(session, cdb.synchronizeCache16());
    expect(fileBlock(backingFile, lba * 512, length).equals(dataIn)).toBe(true);
    lba += blocks;
  }
}

/** All rows, a login each, on these targets; `expected` is what they make of our offers. */
async function allRows(
  targets: readonly (Target | Istgt)[],
  maxReceiveSegment: number,
  expected: (row: Row) => Partial<SessionParameters>,
): Promise<void> {
  const rows = ROWS.entries();
  const work = async (worker: number): Promise<void> => {
    const target = targets[worker % targets.length]!;
    const options = { ...optionsFor(target), isid: `80000000000${String(worker)}` };
    for (const [seed, row] of rows) {
      const { session, parameters } = await agreed(options, row, maxReceiveSegment);
      const [headerDigest, dataDigest] = row.digests.map((choice) => choice === 'crc32c');
      const always = { headerDigest, dataDigest, immediateData: row.immediateData };
      const agreement = { ...always, maxReceiveSegment, ...expected(row) };
      expect(parameters, JSON.stringify(row)).toMatchObject(agreement);
      await moveData(session, target.options.backingFile, { seed, worker });
      session.abort('done');
      await session.closed;
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
}

describe('data comes back as it was written in every combination', () => {
  it.each([
    ['512', 8192],
    ['8192', 512],
    ['65536', 1024 * KIB],
    ['262144', 262_144],
  ])('tgtd, segments of %s out and %i in', async (segment, own) => {
    const target = await startTarget({
      settings: {
        InitialR2T: 'No',
        ImmediateData: 'Yes',
        MaxBurstLength: '1048576',
        FirstBurstLength: '262144',
        MaxRecvDataSegmentLength: segment,
        HeaderDigest: 'CRC32C,None',
        DataDigest: 'CRC32C,None',
      },
    });
    await allRows([target], own, ({ initialR2T, bursts: [firstBurstLength, maxBurstLength] }) => ({
      initialR2T,
      firstBurstLength,
      maxBurstLength,
      maxSendSegment: Number(segment),
    }));
  });

  it.each([
    ['8192', 262_144],
    ['262144', 8192],
  ])('istgt, segments of %s out and %i in', async (segment, own) => {
    // It takes a second for a login, one after the other: as many processes as rows at a time.
    const settings = { MaxRecvDataSegmentLength: segment };
    const targets = await Promise.all(
      Array.from({ length: WORKERS }, () => startIstgt({ settings })),
    );
    // It has no unsolicited Data-Out: InitialR2T is Yes whatever we offer.
    await allRows(targets, own, () => ({ initialR2T: true }));
  });
});
