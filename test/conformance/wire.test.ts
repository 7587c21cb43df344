/**
 * What tshark says about our PDUs, in several patterns of writing: nothing malformed, CmdSN without gaps
 * and never beyond MaxCmdSN, DataSN from 0 for each R2T, F on the last PDU of a sequence and nowhere else.
 */
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { decodeCapture, noTshark, writeCapture } from '../support/targets/capture.ts';
import { temporaryFolder } from '../support/targets/ports.ts';
import { Op } from '../support/targets/scripted-target/pdu.ts';
import type { Script } from '../support/targets/scripted-target/script.ts';
import { brokenRules } from '../support/targets/wire-rules.ts';
import { attempt, type Changes, roundTrip, startTarget } from './rig.ts';

const folder = temporaryFolder('wire', '/tmp');
afterAll(() => folder.remove());

const NOTHING = {
  ...{ itt: undefined, ttt: undefined, cmdSn: undefined, expCmdSn: undefined, maxCmdSn: undefined },
  ...{ statSn: undefined, expStatSn: undefined, dataSn: undefined, offset: undefined },
  desired: undefined,
};
const SMALL = { MaxRecvDataSegmentLength: '1024', MaxBurstLength: '4096' };
const PATTERNS: [string, Partial<Script>, Changes][] = [
  ['what an honest target does', {}, {}],
  [
    'R2Ts of many sizes, several outstanding',
    {
      keys: { ...SMALL, InitialR2T: 'Yes', ImmediateData: 'No', MaxOutstandingR2T: '4' },
      r2tSizes: [512, 3072, 1024, 4096],
      dataInSizes: [512, 100, 2048],
    },
    {},
  ],
  ['unsolicited data without immediate data', { keys: { ...SMALL, ImmediateData: 'No' } }, {}],
  ['one command at a time', { window: 1, collapseStatus: false }, {}],
  ['StatSN across the wrap', { statSn: 0xffff_fff0, window: 3 }, {}],
  ['digests', { keys: SMALL }, { headerDigest: 'crc32c', dataDigest: 'crc32c' }],
];

it.skipIf(noTshark() !== undefined).each(PATTERNS)(
  'tshark finds nothing wrong: %s',
  async (_, script, options) => {
    const target = await startTarget(script);
    target.tapping = true;
    const result = await attempt(target, options);
    if (!result.ok) throw new Error(result.error.detail);
    const session = result.value;
    await Promise.all(Array.from({ length: 24 }, (_, n) => roundTrip(session, n * 64, 1 + 2 * n)));
    target.last.service.ping(1);
    await session.resetLogicalUnit(5000);
    await roundTrip(session, 0, 64);
    await session.logout(5000);
    const file = join(folder.path, 'wire.pcap');
    writeCapture(file, target.taps);
    const pdus = decodeCapture(file);
    expect(brokenRules(pdus)).toEqual([]);
    // tshark saw what the target saw, all of it.
    const ours = pdus.filter(({ opcode }) => opcode < 0x20).map(({ opcode }) => opcode);
    expect(ours).toEqual(target.last.received.map(({ opcode }) => opcode));
    expect(ours).toContain(Op.LOGOUT_REQUEST);
  },
);

it('the rules can be broken', () => {
  const sent = { stream: 0, immediate: false, flags: 0x80, length: 0, ...NOTHING };
  const command = { ...sent, opcode: 0x01, itt: 1, cmdSn: 5, expStatSn: 0 };
  const answer = { ...sent, opcode: 0x21, expCmdSn: 6, maxCmdSn: 6, statSn: 0 };
  expect(brokenRules([command, answer, { ...command, cmdSn: 6 }])).toEqual([]);
  expect(brokenRules([command, { ...command, cmdSn: 7 }])).toHaveLength(1);
  expect(brokenRules([command, answer, { ...command, cmdSn: 6, expStatSn: 2 }])).toHaveLength(1);
  const two = [command, answer, { ...command, cmdSn: 6 }, { ...command, cmdSn: 7 }];
  expect(brokenRules(two)).toHaveLength(1);
  const r2t = { ...answer, opcode: 0x31, itt: 1, ttt: 9, offset: 0, desired: 1024 };
  const half = {
    ...sent,
    opcode: 0x05,
    itt: 1,
    ttt: 9,
    dataSn: 0,
    offset: 0,
    length: 512,
    flags: 0,
  };
  const rest = { ...half, dataSn: 1, offset: 512, flags: 0x80 };
  expect(brokenRules([command, r2t, half, rest])).toEqual([]);
  expect(brokenRules([command, r2t, half, { ...rest, flags: 0 }])).toHaveLength(1);
  expect(brokenRules([command, r2t, { ...half, flags: 0x80 }])).toHaveLength(1);
  expect(brokenRules([command, r2t, half, { ...rest, dataSn: 0 }])).toHaveLength(1);
  expect(brokenRules([command, r2t, half, { ...rest, offset: 1024 }])).toHaveLength(1);
  expect(brokenRules([command, half])).toHaveLength(1);
});
