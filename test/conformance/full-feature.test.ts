/** UNH-IOL "Full Feature Phase, initiators" 3.1, items 1 to 13: numbering, data, R2T. */
import { expect, it } from 'vitest';
import { readCapacity16, testUnitReady } from '../../src/protocol/scsi/cdb.ts';
import { NO_TAG, Op, type Reply } from '../support/targets/scripted-target/pdu.ts';
import type { Script } from '../support/targets/scripted-target/script.ts';
import {
  BLOCK,
  ended,
  established,
  GOOD,
  pattern,
  read,
  roundTrip,
  run,
  startTarget,
  login,
  write,
} from './rig.ts';

/** Changes replies of one opcode. */
function tampering(opcode: number, change: (pdu: Reply) => void): Script['outgoing'] {
  return (pdu) => {
    if (pdu.opcode === opcode) change(pdu);
    return [pdu];
  };
}

const SOLICITED = { InitialR2T: 'Yes', ImmediateData: 'No' };

it('FFP 1.1 Command Numbering: CmdSN starts where login left it and grows by one', async () => {
  const { target, session } = await established();
  const first = target.last.of(Op.LOGIN_REQUEST)[0]!.cmdSn;
  for (let lba = 0; lba < 5; lba++) await roundTrip(session, lba, 1);
  const numbers = target.last.of(Op.SCSI_COMMAND).map(({ cmdSn }) => (cmdSn - first) >>> 0);
  expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

it('FFP 2.1 Immediate Delivery: an immediate PDU carries the next CmdSN and does not use it up', async () => {
  const { target, session } = await established();
  target.last.service.ping(77);
  await roundTrip(session, 0, 1);
  const [pong] = target.last.of(Op.NOP_OUT);
  expect(pong!.immediate).toBe(true);
  const commands = target.last.of(Op.SCSI_COMMAND).map(({ cmdSn }) => cmdSn);
  expect(commands).toContain(pong!.cmdSn);
});

it('FFP 2.2 Immediate TMF: LOGICAL UNIT RESET is immediate and uses up no CmdSN', async () => {
  const { target, session } = await established();
  await roundTrip(session, 0, 1);
  expect((await session.resetLogicalUnit(1000)).ok).toBe(true);
  await roundTrip(session, 0, 1);
  const [request] = target.last.of(Op.TASK_REQUEST);
  expect(request!.immediate).toBe(true);
  expect(target.last.of(Op.SCSI_COMMAND)[2]!.cmdSn).toBe(request!.cmdSn);
});

it('FFP 3.1 Closed Window: nothing but immediate PDUs goes out until it opens', async () => {
  const { target, session } = await established({ window: 1 });
  target.script.window = 0; // the first command still fits, its answer closes the window
  expect(await run(session, testUnitReady())).toMatchObject(GOOD);
  const waiting = run(session, testUnitReady());
  target.last.service.ping(5);
  await expect.poll(() => target.last.of(Op.NOP_OUT).length).toBe(1);
  expect(target.last.of(Op.SCSI_COMMAND)).toHaveLength(1);
  target.script.window = 1;
  target.last.ping(NO_TAG);
  expect(await waiting).toMatchObject(GOOD);
});

it('FFP 3.2 Large Window: the largest window that serial numbers allow is open', async () => {
  const { target, session } = await established({ window: 0x7fff_ffff });
  await Promise.all(Array.from({ length: 100 }, (_, lba) => roundTrip(session, lba, 1)));
  expect(target.last.of(Op.SCSI_COMMAND)).toHaveLength(200);
});

it('FFP 3.3 Single Command: with a window of one, one command is out at a time', async () => {
  const { target, session } = await established({ window: 1 });
  await Promise.all(Array.from({ length: 10 }, (_, lba) => roundTrip(session, lba, 1)));
  expect(target.last.of(Op.SCSI_COMMAND)).toHaveLength(20);
});

it('FFP 5.1 ExpStatSN: every request acknowledges all statuses before it', async () => {
  const { target, session } = await established();
  for (let lba = 0; lba < 4; lba++) await roundTrip(session, lba, 1);
  const seen = target.last.of(Op.SCSI_COMMAND).map(({ expStatSn }) => expStatSn);
  expect(seen).toEqual([2, 3, 4, 5, 6, 7, 8, 9].map((count) => 0x1000 + count));
});

it('FFP 5.1 ExpStatSN: a status that is not the next one ends the session', async () => {
  for (const off of [1, -1, 0x8000_0000]) {
    const { session } = await established({
      outgoing: tampering(Op.SCSI_RESPONSE, (pdu) => (pdu.statSn = (pdu.statSn + off) >>> 0)),
    });
    expect(await run(session, testUnitReady())).toEqual({ kind: 'lost' });
    expect(await ended(session)).toMatch(/^protocol: .*StatSN/u);
  }
});

it('FFP 5.1 ExpStatSN: an answer that comes twice ends the session and reports once', async () => {
  const { session } = await established({
    outgoing: (pdu) => (pdu.opcode === Op.SCSI_RESPONSE ? [pdu, pdu] : [pdu]),
  });
  expect(await run(session, testUnitReady())).toMatchObject(GOOD);
  expect(await ended(session)).toMatch(/^protocol: /u);
});

it('FFP 6.1 DataSN: counts from 0 in every sequence, solicited or not', async () => {
  const keys = { InitialR2T: 'No', ImmediateData: 'No', FirstBurstLength: '2048' };
  const { target, session } = await established({
    keys: { ...keys, MaxRecvDataSegmentLength: '512' },
    r2tSizes: [1536, 1024],
  });
  await roundTrip(session, 0, 12);
  const sequences = new Map<number, number[]>();
  for (const { at20, dataSn } of target.last.of(Op.DATA_OUT)) {
    sequences.set(at20, [...(sequences.get(at20) ?? []), dataSn]);
  }
  expect([...sequences.values()]).toEqual([
    [0, 1, 2, 3],
    [0, 1, 2],
    [0, 1],
    [0, 1, 2],
  ]);
});

it('FFP 8.1 Unsolicited Data: immediate data and Data-Out fill the first burst, no R2T', async () => {
  const { target, session } = await established({
    keys: { MaxRecvDataSegmentLength: '4096', FirstBurstLength: '16384' },
  });
  await roundTrip(session, 0, 32);
  expect(target.last.sent.some(({ opcode }) => opcode === Op.R2T)).toBe(false);
  expect(target.last.of(Op.DATA_OUT)).toHaveLength(3);
});

it('FFP 8.2 Solicited Data: without permission nothing goes out unasked', async () => {
  const { target, session } = await established({ keys: SOLICITED });
  await roundTrip(session, 0, 32);
  const [command] = target.last.of(Op.SCSI_COMMAND);
  expect(command).toMatchObject({ final: true });
  expect(command!.data).toHaveLength(0);
  expect(target.last.of(Op.DATA_OUT).every(({ at20 }) => at20 !== NO_TAG)).toBe(true);
});

it('FFP 8.3 Unsolicited and Solicited Data: the rest of a first burst is asked for', async () => {
  const { target, session } = await established({
    keys: { MaxRecvDataSegmentLength: '1024', FirstBurstLength: '4096', MaxBurstLength: '8192' },
  });
  await roundTrip(session, 0, 64);
  const tags = new Set(target.last.of(Op.DATA_OUT).map(({ at20 }) => at20));
  expect(tags.has(NO_TAG)).toBe(true);
  expect(tags.size).toBe(1 + Math.ceil((64 * BLOCK - 4096) / 8192));
});

it('FFP 9.1 Target Transfer Tag: Data-Out carries the tag and the LUN of its R2T', async () => {
  const { target, session } = await established({ keys: SOLICITED, r2tSizes: [512, 1024] });
  await roundTrip(session, 0, 9);
  const given = target.last.sent.filter(({ opcode }) => opcode === Op.R2T).map(({ at20 }) => at20);
  expect(target.last.of(Op.DATA_OUT).map(({ at20 }) => at20)).toEqual(given);
});

it('FFP 10.1 Data-In Status: status comes in the last Data-In or after it', async () => {
  for (const collapseStatus of [true, false]) {
    const { target, session } = await established({ collapseStatus });
    await roundTrip(session, 0, 4);
    const responses = target.last.sent.filter(({ opcode }) => opcode === Op.SCSI_RESPONSE);
    expect(responses).toHaveLength(collapseStatus ? 1 : 2);
  }
});

it('FFP 10.2 A bit: at ErrorRecoveryLevel 0 it is answered with nothing', async () => {
  const { target, session } = await established({
    outgoing: tampering(Op.DATA_IN, (pdu) => (pdu.flags |= 0x40)),
  });
  await roundTrip(session, 0, 4);
  expect(target.last.of(Op.SNACK)).toEqual([]);
});

it('FFP 11.1.1 DataSegmentLength, outgoing: never above what the target declared', async () => {
  const { target, session } = await established({ keys: { MaxRecvDataSegmentLength: '777' } });
  await roundTrip(session, 0, 16);
  const lengths = target.received.map(({ data }) => data.length);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(777);
});

it('FFP 11.1.2 DataSegmentLength, incoming: any up to ours is taken, a longer one ends it', async () => {
  const { target, session } = await established({ dataInSizes: [1, 2, 3, 511, 4096, 7] });
  await roundTrip(session, 0, 32);
  target.script.outgoing = tampering(Op.DATA_IN, (pdu) => (pdu.data = Buffer.alloc(1 << 20)));
  expect((await read(session, 0, 4096)).outcome).toEqual({ kind: 'lost' });
  expect(await ended(session)).toMatch(/^protocol: /u);
});

it('FFP 11.2.1 F bit, unsolicited: is on the last Data-Out of the first burst only', async () => {
  const { target, session } = await established({
    keys: { ImmediateData: 'No', MaxRecvDataSegmentLength: '1024', FirstBurstLength: '4096' },
  });
  await roundTrip(session, 0, 8);
  const finals = target.last.of(Op.DATA_OUT).map(({ final }) => final);
  expect(finals).toEqual([false, false, false, true]);
});

it('FFP 11.2.2 F bit, solicited: is on the last Data-Out of each R2T only', async () => {
  const { target, session } = await established({
    keys: { ...SOLICITED, MaxRecvDataSegmentLength: '512' },
    r2tSizes: [1024],
  });
  await roundTrip(session, 0, 4);
  const finals = target.last.of(Op.DATA_OUT).map(({ final }) => final);
  expect(finals).toEqual([false, true, false, true]);
});

it('FFP 11.3 DataSN: a Data-In that is missing, repeated or out of order ends the session', async () => {
  for (const change of [1, 2, -1]) {
    const { session } = await established({
      dataInSizes: [512],
      outgoing: tampering(Op.DATA_IN, (pdu) => {
        if (pdu.at36 === 2) pdu.at36 += change;
      }),
    });
    const { outcome } = await read(session, 0, 8);
    expect(outcome).toEqual({ kind: 'lost' });
    expect(await ended(session)).toMatch(/^protocol: .*DataSN/u);
  }
});

it('FFP 11.4 Buffer Offset: a Data-In with a gap, an overlap or beyond the end ends it', async () => {
  for (const off of [4, -4, 0x1000_0000]) {
    const { session } = await established({
      dataInSizes: [512],
      outgoing: tampering(Op.DATA_IN, (pdu) => {
        if (pdu.at36 === 1) pdu.at40 += off;
      }),
    });
    expect((await read(session, 0, 8)).outcome).toEqual({ kind: 'lost' });
    expect(await ended(session)).toMatch(/^protocol: /u);
  }
});

it('FFP 12.1 R2T TTT: each tag is echoed, whatever its value; the reserved one ends it', async () => {
  for (const tag of [0, 1, 0xffff_fffe]) {
    const { target, session } = await established({
      keys: SOLICITED,
      outgoing: tampering(Op.R2T, (pdu) => (pdu.at20 = tag)),
    });
    void write(session, 0, pattern(1, 1));
    await expect.poll(() => target.last.of(Op.DATA_OUT)[0]?.at20).toBe(tag);
    target.last.violations.length = 0; // the target has forgotten this tag on purpose
  }
  const { session } = await established({
    keys: SOLICITED,
    outgoing: tampering(Op.R2T, (pdu) => (pdu.at20 = NO_TAG)),
  });
  expect(await write(session, 0, pattern(1, 1))).toEqual({ kind: 'lost' });
});

it('FFP 12.2 R2T Offset and Length: a request for more than there is ends the session', async () => {
  const wrong: ((pdu: Reply) => void)[] = [
    (pdu) => (pdu.at44 += 1),
    (pdu) => (pdu.at44 = 0),
    (pdu) => (pdu.at44 = 0xffff_ffff),
    (pdu) => (pdu.at36 += 1),
  ];
  for (const change of wrong) {
    const { session } = await established({
      keys: SOLICITED,
      outgoing: tampering(Op.R2T, change),
    });
    expect(await write(session, 0, pattern(8, 1))).toEqual({ kind: 'lost' });
    expect(await ended(session)).toMatch(/^protocol: /u);
  }
});

it('FFP 12.3 R2T Offset: one that leaves a gap or goes back ends the session', async () => {
  for (const off of [512, -512]) {
    const { target, session } = await established({
      keys: SOLICITED,
      r2tSizes: [1024],
      outgoing: tampering(Op.R2T, (pdu) => {
        if (pdu.at36 === 1) pdu.at40 += off;
      }),
    });
    expect(await write(session, 0, pattern(8, 1))).toEqual({ kind: 'lost' });
    expect(await ended(session)).toMatch(/^protocol: .*offset/iu);
    expect(
      target
        .disk()
        .read(0, 8)
        .every((byte) => byte === 0),
    ).toBe(true);
  }
});

it('FFP 12.4 Parallel Commands: R2Ts of many commands are served side by side', async () => {
  const { target, session } = await established({
    keys: { ...SOLICITED, MaxOutstandingR2T: '4' },
    r2tSizes: [512, 2048, 1024],
  });
  await Promise.all(Array.from({ length: 16 }, (_, n) => roundTrip(session, n * 32, 32)));
  const open = new Set<number>();
  let most = 0;
  for (const { itt } of target.last.of(Op.DATA_OUT)) most = Math.max(most, open.add(itt).size);
  expect(most).toBeGreaterThan(8);
});

it('a target that asks for more R2Ts at a time than agreed ends the session', async () => {
  const target = await startTarget({ keys: { ...SOLICITED, MaxOutstandingR2T: '1' } });
  const session = await login(target);
  target.script.outgoing = (pdu) =>
    pdu.opcode === Op.R2T
      ? [
          { ...pdu, at44: 512 },
          { ...pdu, at20: 9, at36: 1, at40: 512, at44: 512 },
        ]
      : [pdu];
  expect(await write(session, 0, pattern(2, 1))).toEqual({ kind: 'lost' });
  expect(await ended(session)).toMatch(/^protocol: .*outstanding/u);
});

it('additional header segments and odd lengths do not disturb what follows', async () => {
  const { session } = await established({
    outgoing: (pdu) => [{ ...pdu, ahs: Buffer.alloc(4 * (pdu.statSn % 4), 0xaa) }],
  });
  for (let lba = 0; lba < 8; lba++) await roundTrip(session, lba, 3);
  const dataIn = Buffer.alloc(32);
  expect(await run(session, readCapacity16(), { dataIn })).toMatchObject({ received: 32 });
});
