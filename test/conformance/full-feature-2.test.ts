/** UNH-IOL "Full Feature Phase, initiators" 3.1, items 14 to 20: async, NOP, status, logout, TMF. */
import { afterEach, expect, it, vi } from 'vitest';
import { readCapacity16, testUnitReady, write16 } from '../../src/protocol/scsi/cdb.ts';
import type { AsyncMessage } from '../../src/protocol/iscsi/receive.ts';
import { NO_TAG, Op, reply } from '../support/targets/scripted-target/pdu.ts';
import { check } from '../support/targets/scripted-target/scsi.ts';
import {
  BLOCK,
  ended,
  established,
  GOOD,
  login,
  pattern,
  read,
  roundTrip,
  run,
  startTarget,
  write,
} from './rig.ts';

afterEach(() => {
  vi.useRealTimers();
});

it('FFP 14.1 Async Logout: event 1 gets a Logout Request within its time', async () => {
  const { target, session } = await established();
  await roundTrip(session, 0, 1);
  target.last.sendAsync(1, [0, 0, 3]);
  expect(await ended(session)).toMatch(/^logout: /u);
  const [request] = target.last.of(Op.LOGOUT_REQUEST);
  expect(request).toMatchObject({ immediate: true, flags: 0x80 });
});

it('FFP 14.1 Async Logout: commands under way are answered first', async () => {
  const { target, session } = await established({
    handlers: new Map([[Op.SCSI_COMMAND, () => undefined]]),
  });
  const pending = run(session, testUnitReady());
  await expect.poll(() => target.last.of(Op.SCSI_COMMAND).length).toBe(1);
  target.last.sendAsync(1, [0, 0, 3]);
  target.last.handle(target.last.of(Op.SCSI_COMMAND)[0]!);
  expect(await pending).toMatchObject(GOOD);
  expect(await ended(session)).toMatch(/^logout: /u);
});

it('FFP 15.1 Ping Response: echoes tag and LUN, immediate, without a task tag', async () => {
  const { target, session } = await established();
  const lun = Buffer.from('0005000000000000', 'hex');
  target.last.service.ping(0xfeed_0001, lun);
  await expect.poll(() => target.last.of(Op.NOP_OUT).length).toBe(1);
  const [pong] = target.last.of(Op.NOP_OUT);
  expect(pong).toMatchObject({ itt: NO_TAG, at20: 0xfeed_0001, immediate: true, flags: 0x80 });
  expect(pong!.at8.equals(lun)).toBe(true);
  await roundTrip(session, 0, 1);
});

it('FFP 15.2 Ping Request: a silent connection is pinged, with an ITT and no TTT', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const { target, session } = await established();
  vi.advanceTimersByTime(20_000);
  vi.useRealTimers();
  await expect.poll(() => target.last.of(Op.NOP_OUT).length).toBeGreaterThan(0);
  const [ping] = target.last.of(Op.NOP_OUT);
  expect(ping).toMatchObject({ at20: NO_TAG, immediate: true });
  expect(ping!.itt).not.toBe(NO_TAG);
  await roundTrip(session, 0, 1);
});

it('FFP 15.3 Confirm ExpStatSN: a NOP-In that wants no answer gets none and counts for nothing', async () => {
  const { target, session } = await established();
  for (let count = 0; count < 5; count++) target.last.ping(NO_TAG);
  await roundTrip(session, 0, 1);
  expect(target.last.of(Op.NOP_OUT)).toEqual([]);
  expect(target.last.of(Op.SCSI_COMMAND)[1]!.expStatSn).toBe(0x1003);
});

it.each([
  ['FFP 16.1.1 Command fields, with immediate data: flags, LUN, EDTL and CDB', 'Yes'],
  ['FFP 16.1.2 Command fields, without immediate data: flags, LUN, EDTL and CDB', 'No'],
])('%s', async (_, immediateData) => {
  const { target, session } = await established({
    keys: { ImmediateData: immediateData, InitialR2T: 'Yes' },
  });
  const dataOut = pattern(3, 1);
  expect(await run(session, write16(5, 3), { dataOut })).toMatchObject(GOOD);
  const [command] = target.last.of(Op.SCSI_COMMAND);
  expect(command).toMatchObject({ flags: 0x80 | 0x20 | 0x01, lun: 1, at20: 3 * BLOCK });
  expect(command!.immediate).toBe(false);
  expect(command!.ahs).toHaveLength(0);
  expect(command!.cdb.equals(Buffer.from(write16(5, 3)))).toBe(true);
  expect(command!.data).toHaveLength(immediateData === 'Yes' ? 3 * BLOCK : 0);
});

it.each([
  ['FFP 16.2.1 ImmediateData=Yes, InitialR2T=Yes', 'Yes', 'Yes'],
  ['FFP 16.2.2 ImmediateData=Yes, InitialR2T=No', 'Yes', 'No'],
  ['FFP 16.2.3 ImmediateData=No, InitialR2T=Yes', 'No', 'Yes'],
  ['FFP 16.2.4 ImmediateData=No, InitialR2T=No', 'No', 'No'],
])('%s: the write goes out as agreed and arrives whole', async (_, immediate, initialR2T) => {
  const keys = { ImmediateData: immediate, InitialR2T: initialR2T };
  const { target, session } = await established({
    keys: { ...keys, MaxRecvDataSegmentLength: '1024', FirstBurstLength: '4096' },
  });
  const data = await roundTrip(session, 7, 32);
  expect(target.disk().read(7, 32).equals(data)).toBe(true);
  const [command] = target.last.of(Op.SCSI_COMMAND);
  const unsolicited = target.last.of(Op.DATA_OUT).filter(({ at20 }) => at20 === NO_TAG);
  expect(command!.data.length > 0).toBe(immediate === 'Yes');
  expect(unsolicited.length > 0).toBe(initialR2T === 'No');
});

it('FFP 16.3.1 F bit: is 1 for a read, 0 for a write whose data follows unasked', async () => {
  const { target, session } = await established({ keys: { MaxRecvDataSegmentLength: '512' } });
  await roundTrip(session, 0, 4);
  const commands = target.last.of(Op.SCSI_COMMAND);
  expect(commands.map(({ final }) => final)).toEqual([false, true]);
});

it.each([
  ['FFP 16.4.1 CRC error sense: is reported, the session stays', 0x0b, 0x47, 0x05],
  ['FFP 16.4.3 Unexpected unsolicited data: the sense is reported, the session stays', 11, 12, 12],
  ['FFP 16.4.4 Not enough unsolicited data: the sense is reported, the session stays', 11, 12, 13],
])('%s', async (_, key, asc, ascq) => {
  const { target, session } = await established({ intercept: () => check(key, asc, ascq) });
  const outcome = await write(session, 0, pattern(1, 1));
  expect(outcome).toMatchObject({ status: 2, sense: { key, asc, ascq } });
  target.script.intercept = () => ({ status: 2, sense: { key, asc, ascq, descriptor: true } });
  const again = await run(session, testUnitReady());
  expect(again).toMatchObject({ status: 2, sense: { key, asc, ascq } });
  target.script.intercept = () => undefined;
  await roundTrip(session, 0, 1);
});

it.each([
  ['FFP 16.4.5 BUSY: is reported as it is, the session stays', 0x08],
  ['FFP 16.4.5 BUSY: so is TASK SET FULL', 0x28],
  ['FFP 16.4.6 RESERVATION CONFLICT: is reported as it is, the session stays', 0x18],
])('%s', async (_, status) => {
  const { target, session } = await established({ intercept: () => ({ status }) });
  expect(await write(session, 0, pattern(1, 1))).toMatchObject({ status, sense: undefined });
  expect((await read(session, 0, 1)).outcome).toMatchObject({ status });
  target.script.intercept = () => undefined;
  await roundTrip(session, 0, 1);
});

it('FFP 16.5 MaxCmdSN in Response: a window that an answer opens is used at once', async () => {
  const { target, session } = await established({ window: 1 });
  const first = run(session, testUnitReady());
  target.script.window = 8;
  await Promise.all([first, ...Array.from({ length: 8 }, () => run(session, testUnitReady()))]);
  expect(target.last.of(Op.SCSI_COMMAND)).toHaveLength(9);
});

it('FFP 16.5 MaxCmdSN in Response: one that goes back or contradicts itself is ignored', async () => {
  const { target, session } = await established({ window: 4 });
  target.script.outgoing = (pdu) => [
    { ...pdu, maxCmdSn: (pdu.expCmdSn - 2) >>> 0, expCmdSn: pdu.expCmdSn },
  ];
  for (let count = 0; count < 4; count++) {
    expect(await run(session, testUnitReady())).toMatchObject(GOOD);
  }
});

it('FFP 16.6 EDTL: is the buffer; less data is an underflow, more is an overflow', async () => {
  const { target, session } = await established();
  const dataIn = Buffer.alloc(100);
  expect(await run(session, readCapacity16(), { dataIn })).toMatchObject({
    ...{ status: 0, received: 32, residual: 68 },
  });
  expect(target.last.of(Op.SCSI_COMMAND)[0]!.at20).toBe(100);
  const short = Buffer.alloc(BLOCK);
  const outcome = await run(session, Buffer.from(write16(0, 1)).fill(0x88, 0, 1).fill(2, 13, 14), {
    dataIn: short,
  });
  expect(outcome).toMatchObject({ status: 0, received: BLOCK, residual: BLOCK });
});

it('FFP 17.1 Logout: closes the session, after all commands, with nothing sent behind it', async () => {
  const { target, session } = await established();
  const pending = roundTrip(session, 0, 64);
  await pending;
  await session.logout(2000);
  expect(await ended(session)).toMatch(/^logout: /u);
  const last = target.last.received.at(-1)!;
  expect(last).toMatchObject({ opcode: Op.LOGOUT_REQUEST, flags: 0x80, immediate: true });
});

it('FFP 17.1 Logout: a target that does not answer is left after the time that was given', async () => {
  const { session } = await established({
    handlers: new Map([[Op.LOGOUT_REQUEST, () => undefined]]),
  });
  await session.logout(50);
  expect(await ended(session)).toMatch(/^aborted: /u);
});

it('FFP 19.1 TMF CmdSN: a reset carries the CmdSN that the next command will have', async () => {
  const { target, session } = await established();
  await roundTrip(session, 0, 1);
  await session.resetLogicalUnit(1000);
  const [request] = target.last.of(Op.TASK_REQUEST);
  expect(request!.cmdSn).toBe(target.last.expCmdSn);
});

it('FFP 19.2 TMF LUN: a reset names the LUN of the session', async () => {
  for (const lun of [0, 1, 200]) {
    const target = await startTarget();
    target.script.units.set(lun, target.script.units.get(1)!);
    const session = await login(target, { lun });
    expect((await session.resetLogicalUnit(1000)).ok).toBe(true);
    expect(target.last.of(Op.TASK_REQUEST)[0]).toMatchObject({ lun, at20: NO_TAG });
  }
});

it('FFP 19.2 TMF LUN: what the target says about a reset is told, the session stays', async () => {
  for (const response of [1, 2, 5, 255]) {
    const { target, session } = await established({
      outgoing: (pdu) => [pdu.opcode === Op.TASK_RESPONSE ? { ...pdu, response } : pdu],
    });
    const result = await session.resetLogicalUnit(1000);
    expect(result).toMatchObject({ ok: false, error: { kind: 'protocol' } });
    await roundTrip(session, 0, 1);
    expect(target.last.closed).toBe(false);
  }
});

it('FFP 19.3 RefCmdSN: is zero in a function that refers to no task', async () => {
  const { target, session } = await established();
  await session.resetLogicalUnit(1000);
  expect(target.last.of(Op.TASK_REQUEST)[0]!.bhs.readUInt32BE(32)).toBe(0);
});

async function onEvent(
  event: number,
): Promise<{ heard: number[]; ended: string; logouts: number }> {
  const target = await startTarget();
  const heard: number[] = [];
  const asynchronous = (_: unknown, message: AsyncMessage): number => heard.push(message.event);
  const session = await login(target, {}, { asynchronous });
  await roundTrip(session, 0, 1);
  target.last.sendAsync(event, [0, 0, 1]);
  const how = await ended(session);
  return { heard, ended: how, logouts: target.last.of(Op.LOGOUT_REQUEST).length };
}

it('FFP 20.1 Async 1: the target asks for a logout and gets it', async () => {
  expect(await onEvent(1)).toMatchObject({ heard: [1], logouts: 1 });
});

it('FFP 20.2 Async 2: the connection will be dropped, so it is given up', async () => {
  expect(await onEvent(2)).toMatchObject({ heard: [2], logouts: 0 });
});

it('FFP 20.3 Async 3: all connections will be dropped, so it is given up', async () => {
  expect(await onEvent(3)).toMatchObject({ heard: [3], logouts: 0 });
});

it('FFP 20.4 Async 4: new parameters are negotiated by a logout and a new login', async () => {
  expect(await onEvent(4)).toMatchObject({ heard: [4], logouts: 1 });
});

it('event 0 and vendor events leave the session as it is', async () => {
  const { target, session } = await established();
  for (const event of [0, 5, 255]) target.last.sendAsync(event);
  await roundTrip(session, 0, 1);
});

it('a Reject ends the session; commands are reported lost', async () => {
  const { target, session } = await established({
    handlers: new Map([
      [
        Op.SCSI_COMMAND,
        (request, link) => {
          link.send(reply(Op.REJECT, { response: 4, data: Buffer.from(request.bhs) }), true);
        },
      ],
    ]),
  });
  expect(await run(session, testUnitReady())).toEqual({ kind: 'lost' });
  expect(await ended(session)).toMatch(/^protocol: .*rejects SCSI COMMAND/u);
  expect(target.last.of(Op.SNACK)).toEqual([]);
});
