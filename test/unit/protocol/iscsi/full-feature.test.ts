/**
 * Full feature phase against a scripted target: what is sent, what is accepted, when it is over.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import { get32 } from '../../../../src/base/bytes.ts';
import { Field, NO_TAG, Opcode } from '../../../../src/protocol/iscsi/bhs.ts';
import { read16, testUnitReady } from '../../../../src/protocol/scsi/cdb.ts';
import * as target from './pdus.ts';
import { Bench, GOOD, itt } from './session-bench.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe('sending', () => {
  it('numbers commands when they are transmitted and acknowledges the last StatSN', () => {
    bench.read(512);
    bench.read(512);
    const [first, second] = bench.flush();
    expect(get32(first!.header, Field.CMD_SN)).toBe(10);
    expect(get32(second!.header, Field.CMD_SN)).toBe(11);
    bench.respond(first!);
    bench.read(512);
    expect(get32(bench.flush()[0]!.header, Field.EXP_STAT_SN)).toBe(101);
  });

  it('stops at the end of the CmdSN window and goes on when it moves', () => {
    bench = new Bench({}, 11);
    for (let count = 0; count < 4; count++) bench.read(512);
    const sent = bench.flush();
    expect(sent).toHaveLength(2);
    expect(bench.flush()).toHaveLength(0);
    const fields = { itt: NO_TAG, ttt: NO_TAG, statSn: 0, expCmdSn: 12 };
    bench.receive(target.nopIn({ ...fields, maxCmdSn: 12 }));
    expect(bench.flush()).toHaveLength(1);
    // A MaxCmdSN below ExpCmdSN - 1 is to be ignored, one behind ours moves nothing.
    bench.receive(target.nopIn({ ...fields, maxCmdSn: 5 }));
    expect(bench.flush()).toHaveLength(0);
  });

  it('sends the first burst unasked: immediate data, then Data-Out with F on the last', () => {
    bench.write(8192);
    const [command, data] = bench.flush();
    expect(command).toMatchObject({ opcode: Opcode.SCSI_COMMAND, final: false });
    expect(command!.data).toHaveLength(1024);
    expect(get32(command!.header, Field.EDTL)).toBe(8192);
    expect(data).toMatchObject({ opcode: Opcode.DATA_OUT, final: true });
    expect(get32(data!.header, Field.TTT)).toBe(NO_TAG);
    expect(get32(data!.header, Field.BUFFER_OFFSET)).toBe(1024);
    expect(data!.data).toHaveLength(1024);
  });

  it.each([
    [{ immediateData: false, initialR2T: true }, true, []],
    [{ immediateData: true, initialR2T: true }, true, []],
    [{ immediateData: false, initialR2T: false }, false, [1024, 1024]],
  ])('obeys %o', (parameters, final, unsolicited) => {
    bench = new Bench(parameters);
    bench.write(8192);
    const [command, ...rest] = bench.flush();
    expect(command!.final).toBe(final);
    expect(command!.data.length).toBe(parameters.immediateData ? 1024 : 0);
    expect(rest.map((sent) => sent.data.length)).toEqual(unsolicited);
  });

  it('serves several R2Ts, each with DataSN from 0 and F on its last Data-Out', () => {
    bench = new Bench({ initialR2T: true, immediateData: false });
    const payload = bench.write(6000);
    for (let at = 0; at < payload.length; at++) payload[at] = at;
    const tag = itt(bench.flush()[0]);
    bench.receive(target.r2t({ itt: tag, ttt: 7, r2tSn: 0, offset: 0, length: 2048 }));
    bench.receive(target.r2t({ itt: tag, ttt: 8, r2tSn: 1, offset: 2048, length: 3952 }));
    const sent = bench.flush();
    const view = (at: number): number[] => sent.map((data) => get32(data.header, at));
    expect(view(Field.TTT)).toEqual([7, 7, 8, 8, 8, 8]);
    expect(view(Field.DATA_SN)).toEqual([0, 1, 0, 1, 2, 3]);
    expect(sent.map((data) => data.final)).toEqual([false, true, false, false, false, true]);
    expect(Buffer.concat(sent.map((data) => data.data))).toEqual(payload);
  });

  it('takes no new command beyond the budget, and no more data of an answered one', () => {
    bench.write(2048);
    bench.read(512);
    const [write] = bench.take(100);
    expect(bench.take(0)).toEqual([]);
    bench.respond(write!, 2, Buffer.from([0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0]));
    expect(bench.take().map((sent) => sent.opcode)).toEqual([Opcode.SCSI_COMMAND]);
  });
});

describe('receiving', () => {
  it.each([[1], [-1]])('refuses a command that claims room it does not have: %i', (tailroom) => {
    const dataIn = Buffer.allocUnsafeSlow(512);
    const command = { cdb: read16(0, 1), dataIn, done: bench.done };
    expect(() => bench.execute({ ...command, tailroom })).toThrow('no room');
    bench.execute({ ...command, dataIn: dataIn.subarray(0, 511), tailroom: 1 });
  });

  it('puts Data-In where it belongs and takes the status that comes with it', () => {
    const dataIn = bench.read(1000);
    const tag = itt(bench.flush()[0]);
    const part = (offset: number, dataSn: number, length: number): Buffer =>
      Buffer.alloc(length, offset === 0 ? 1 : 2 + dataSn * 0);
    const first = { itt: tag, dataSn: 0, offset: 0, data: part(0, 0, 600) };
    bench.receive(target.dataIn(first));
    const last = { itt: tag, dataSn: 1, offset: 600, data: part(600, 1, 300), status: 0 };
    bench.receive(target.dataIn({ ...last, statSn: bench.statSn, residual: 100 }));
    expect(bench.outcomes).toEqual([{ ...GOOD, received: 900, residual: 100 }]);
    expect(dataIn.subarray(0, 600).every((byte) => byte === 1)).toBe(true);
    expect(dataIn.subarray(600, 900).every((byte) => byte === 2)).toBe(true);
    expect(dataIn.subarray(900).every((byte) => byte === 0)).toBe(true);
  });

  it('asks for the memory of a read when its first data arrives, and once', () => {
    const memory = Buffer.alloc(1000);
    let asked = 0;
    const buffer = (): Buffer => {
      asked++;
      return memory;
    };
    const dataIn = { length: 1000, buffer };
    for (let count = 0; count < 2; count++) {
      bench.execute({ cdb: read16(0, 1), dataIn, tailroom: 0, done: bench.done });
    }
    const [answered] = bench.flush();
    expect(get32(answered!.header, Field.EDTL)).toBe(1000);
    expect(asked).toBe(0);
    const fields = { itt: itt(answered), dataSn: 0, offset: 0 };
    bench.receive(target.dataIn({ ...fields, data: Buffer.alloc(600, 1) }));
    expect(asked).toBe(1);
    const last = { ...fields, dataSn: 1, offset: 600, data: Buffer.alloc(400, 2), status: 0 };
    bench.receive(target.dataIn({ ...last, statSn: bench.statSn }));
    expect(bench.outcomes).toEqual([{ ...GOOD, received: 1000 }]);
    expect(memory).toEqual(Buffer.concat([Buffer.alloc(600, 1), Buffer.alloc(400, 2)]));
    bench.session.fail({ kind: 'reset', detail: 'cut' });
    bench.session.abandon();
    expect(bench.outcomes[1]).toEqual({ kind: 'lost' });
    expect(asked).toBe(1);
  });

  it('puts nothing into memory that is not of the length that was promised', () => {
    const dataIn = { length: 1000, buffer: () => Buffer.alloc(999) };
    bench.execute({ cdb: read16(0, 1), dataIn, done: bench.done });
    const tag = itt(bench.flush()[0]);
    const first = { itt: tag, dataSn: 0, offset: 0, data: Buffer.alloc(600) };
    expect(() => bench.receive(target.dataIn(first))).toThrow('promised');
  });

  it('decodes sense data', () => {
    bench.session.execute({ cdb: testUnitReady(), done: bench.done });
    const [sent] = bench.flush();
    bench.respond(sent!, 2, Buffer.from([0x72, 6, 0x29, 1, 0, 0, 0, 0]));
    expect(bench.outcomes).toEqual([{ ...GOOD, status: 2, sense: { key: 6, asc: 0x29, ascq: 1 } }]);
  });

  it('tells a deferred error from one of the command that brings it', () => {
    bench.session.execute({ cdb: testUnitReady(), done: bench.done });
    const [sent] = bench.flush();
    bench.respond(sent!, 2, Buffer.from([0x73, 3, 0x0c, 2, 0, 0, 0, 0]));
    const sense = { key: 3, asc: 0x0c, ascq: 2, deferred: true };
    expect(bench.outcomes).toEqual([{ ...GOOD, status: 2, sense }]);
  });

  it('reports a write only when its payload has left, even if it is answered before', () => {
    bench.write(512);
    const [sent] = bench.take();
    bench.respond(sent!);
    expect(bench.outcomes).toEqual([]);
    expect(bench.session.outstanding).toBe(1);
    bench.session.flushed(false);
    expect(bench.outcomes).toEqual([GOOD]);
    expect(bench.session.outstanding).toBe(0);
  });

  it('answers a NOP-In with its tag and LUN, without touching StatSN', () => {
    const ping = target.nopIn({ itt: NO_TAG, ttt: 0x1234, statSn: 555, maxCmdSn: 1000 });
    ping.set([0, 3, 0, 0, 0, 0, 0, 9], Field.LUN);
    bench.receive(ping);
    const [pong] = bench.flush();
    expect(pong).toMatchObject({ opcode: Opcode.NOP_OUT, immediate: true, final: true });
    expect(get32(pong!.header, Field.TTT)).toBe(0x1234);
    expect(itt(pong)).toBe(NO_TAG);
    expect([...pong!.header.subarray(8, 16)]).toEqual([0, 3, 0, 0, 0, 0, 0, 9]);
    expect(get32(pong!.header, Field.EXP_STAT_SN)).toBe(100);
  });

  it('counts payload as progress only when it had to wait for the peer', () => {
    bench.write(512);
    bench.write(512);
    bench.take();
    bench.session.flushed(false);
    expect(bench.session.progress).toBe(0);
    bench.write(512);
    bench.take();
    bench.session.flushed(true);
    expect(bench.session.progress).toBe(1);
  });

  it('counts progress of commands, not of pings', () => {
    bench.session.ping();
    const [ping] = bench.flush();
    expect(ping).toMatchObject({ opcode: Opcode.NOP_OUT, immediate: true });
    bench.receive(target.nopIn({ itt: itt(ping), ttt: NO_TAG, statSn: bench.statSn++ }));
    expect(bench.end).toBeUndefined();
    expect(bench.session.progress).toBe(0);
    bench.write(512);
    const [write] = bench.flush();
    bench.respond(write!);
    expect(bench.session.progress).toBeGreaterThan(0);
  });

  it('counts nothing of a command that is aside: data, R2T or response', () => {
    const dataIn = Buffer.alloc(512);
    bench.session.execute({ cdb: read16(0, 1), dataIn, aside: true, done: () => undefined });
    const [read] = bench.flush();
    const data = Buffer.alloc(512, 1);
    bench.receive(target.dataIn({ itt: itt(read), dataSn: 0, offset: 0, data }));
    bench.respond(read!);
    expect(bench.end).toBeUndefined();
    expect(bench.session.outstanding).toBe(0);
    expect(bench.session.progress).toBe(0);
  });
});

describe('GOOD for a write', () => {
  const lazy = { immediateData: true, initialR2T: true };
  const answer = (tag: number, residual = 0) =>
    bench.receive(target.scsiResponse({ itt: tag, status: 0, statSn: bench.statSn++, residual }));

  it.each([
    ['that was never asked for', { immediateData: false, initialR2T: true }, 0],
    ['of which only the immediate part was taken', lazy, 0],
    ['of which a part was asked for', lazy, 2048],
  ])(
    '%s is no answer: the session ends, and nobody knows what became of it',
    (_, parameters, asked) => {
      bench = new Bench(parameters);
      bench.write(8192);
      const tag = itt(bench.flush()[0]);
      const offset = parameters.immediateData ? 1024 : 0;
      if (asked > 0)
        bench.receive(target.r2t({ itt: tag, ttt: 7, r2tSn: 0, offset, length: asked }));
      bench.flush();
      answer(tag);
      expect(bench.end).toMatchObject({ kind: 'protocol' });
      expect(bench.end?.detail).toContain(`has not taken ${String(8192 - offset - asked)} bytes`);
      bench.session.abandon();
      expect(bench.outcomes).toEqual([{ kind: 'lost' }]);
    },
  );

  it('that was asked for, and is not sent yet, is none either', () => {
    bench = new Bench({ immediateData: false, initialR2T: true });
    bench.write(4096);
    const tag = itt(bench.flush()[0]);
    bench.receive(target.r2t({ itt: tag, ttt: 7, r2tSn: 0, offset: 0, length: 4096 }));
    answer(tag);
    expect(bench.end).toMatchObject({ kind: 'protocol' });
  });

  it('which says how much it has done without is passed on, if it is that much', () => {
    bench = new Bench(lazy);
    bench.write(8192);
    bench.write(8192);
    const [first, second] = bench.flush();
    answer(itt(first), 7168);
    expect(bench.outcomes).toEqual([{ ...GOOD, residual: 7168 }]);
    answer(itt(second), 7167);
    expect(bench.end).toMatchObject({ kind: 'protocol' });
  });

  it.each([
    ['CONDITION MET', 4, undefined],
    ['RECOVERED ERROR', 2, Buffer.from('72011800 00000000'.replace(' ', ''), 'hex')],
    ['BUSY', 8, undefined],
  ])(
    '%s may come before all data was asked for, and tells how much is missing',
    (_, code, sense) => {
      bench = new Bench(lazy);
      bench.write(8192);
      bench.respond(bench.flush()[0]!, code, sense);
      expect(bench.end).toBeUndefined();
      expect(bench.outcomes).toMatchObject([{ kind: 'status', status: code, residual: 7168 }]);
    },
  );
});

describe('a target that breaks the protocol', () => {
  const data = Buffer.alloc(512, 0xee);
  const cases: [string, (tag: number) => Buffer][] = [
    ['an unknown tag', () => target.dataIn({ itt: 0x999, dataSn: 0, offset: 0, data })],
    ['a wrong DataSN', (itt) => target.dataIn({ itt, dataSn: 1, offset: 0, data })],
    ['a wrong Buffer Offset', (itt) => target.dataIn({ itt, dataSn: 0, offset: 512, data })],
    [
      'more data than expected',
      (itt) => target.dataIn({ itt, dataSn: 0, offset: 0, data: Buffer.alloc(1028, 0xee) }),
    ],
    ['a wrong StatSN', (itt) => target.scsiResponse({ itt, status: 0, statSn: 101 })],
    [
      'a target failure',
      (itt) => target.scsiResponse({ itt, status: 0, statSn: 100, response: 1 }),
    ],
    ['an R2T for a read', (itt) => target.r2t({ itt, ttt: 1, r2tSn: 0, offset: 0, length: 1 })],
    ['a reply to no ping', (itt) => target.nopIn({ itt, ttt: NO_TAG, statSn: 100 })],
    ['a Reject', () => target.pdu(Opcode.REJECT, 0x80, [[Field.STAT_SN, 100]], Buffer.alloc(48))],
    ['an initiator PDU', () => target.pdu(Opcode.SCSI_COMMAND, 0x80, [])],
    ['a huge data segment', () => target.pdu(Opcode.NOP_IN, 0x80, [], Buffer.alloc(262_148))],
  ];

  it.each(cases)('loses the session, with nothing delivered: %s', (_, make) => {
    const dataIn = bench.read(1024);
    const tag = itt(bench.flush()[0]);
    bench.receive(make(tag));
    expect(bench.end).toMatchObject({ kind: 'protocol' });
    expect(bench.outcomes).toEqual([]);
    expect(dataIn.every((byte) => byte === 0)).toBe(true);
    bench.session.abandon();
    expect(bench.outcomes).toEqual([{ kind: 'lost' }]);
  });

  const r2ts: [string, { offset: number; length: number; r2tSn?: number; ttt?: number }][] = [
    ['beyond the buffer', { offset: 2048, length: 4000 }],
    ['out of order', { offset: 3072, length: 512 }],
    ['longer than MaxBurstLength', { offset: 2048, length: 4100 }],
    ['of no bytes', { offset: 2048, length: 0 }],
    ['with a wrong R2TSN', { offset: 2048, length: 512, r2tSn: 1 }],
    ['without a tag', { offset: 2048, length: 512, ttt: NO_TAG }],
  ];
  it.each(r2ts)('loses the session for an R2T %s', (_, fields) => {
    bench.write(6000);
    const tag = itt(bench.flush()[0]);
    bench.receive(target.r2t({ itt: tag, ttt: 1, r2tSn: 0, ...fields }));
    expect(bench.end).toMatchObject({ kind: 'protocol' });
    expect(bench.take()).toEqual([]);
  });

  it('loses the session for more R2Ts than were agreed', () => {
    bench.write(8192);
    const tag = itt(bench.flush()[0]);
    const ask = (sn: number): void => {
      const offset = 2048 + 512 * sn;
      bench.receive(target.r2t({ itt: tag, ttt: 1, r2tSn: sn, offset, length: 512 }));
    };
    ask(0);
    ask(1);
    expect(bench.end).toBeUndefined();
    ask(2);
    expect(bench.end).toMatchObject({ kind: 'protocol' });
  });

  it('does not let an answer reach a later user of the same slot', () => {
    bench.read(512);
    const [first] = bench.flush();
    bench.respond(first!);
    bench.read(512);
    const [second] = bench.flush();
    expect(itt(second)).not.toBe(itt(first));
    bench.respond(first!);
    expect(bench.end).toMatchObject({ kind: 'protocol' });
    expect(bench.outcomes).toHaveLength(1);
  });
});

describe('control', () => {
  it('resets the logical unit and reports what it dropped as ended', () => {
    bench.write(512);
    const [write] = bench.flush();
    const responses: number[] = [];
    bench.session.manage(5, (response) => responses.push(response));
    const [reset] = bench.flush();
    expect(reset).toMatchObject({ opcode: Opcode.TASK_MANAGEMENT_REQUEST, immediate: true });
    expect(reset!.header[1]).toBe(0x85);
    bench.read(512);
    bench.flush();
    const fields = { itt: itt(reset), response: 0, statSn: bench.statSn++ };
    bench.receive(target.response(Opcode.TASK_MANAGEMENT_RESPONSE, fields));
    expect(responses).toEqual([0]);
    expect(bench.outcomes).toEqual([{ kind: 'ended' }]);
    expect(bench.session.outstanding).toBe(1); // the read came after the reset
    bench.respond(write!); // late, of a command that was given up
    expect(bench.end).toBeUndefined();
    expect(bench.outcomes).toHaveLength(1);
  });

  it('ignores a MaxCmdSN that contradicts ExpCmdSN, or that is older than another', () => {
    bench = new Bench({}, 10);
    bench.read(512);
    bench.read(512);
    expect(bench.flush()).toHaveLength(1);
    const ping = (expCmdSn: number, maxCmdSn: number): void => {
      bench.receive(target.nopIn({ itt: NO_TAG, ttt: NO_TAG, expCmdSn, maxCmdSn }));
    };
    ping(100, 98); // below ExpCmdSN - 1
    expect(bench.flush()).toEqual([]);
    ping(11, 10); // closed, but sound
    ping(11, 9);
    expect(bench.flush()).toEqual([]);
    ping(11, 11);
    expect(bench.flush()).toHaveLength(1);
  });

  it('loses nothing when the target refuses the reset', () => {
    bench.read(512);
    bench.flush();
    const responses: number[] = [];
    bench.session.manage(5, (response) => responses.push(response));
    const fields = { itt: itt(bench.flush()[0]), response: 5, statSn: bench.statSn++ };
    bench.receive(target.response(Opcode.TASK_MANAGEMENT_RESPONSE, fields));
    expect(responses).toEqual([5]);
    expect(bench.outcomes).toEqual([]);
  });

  it.each([1, 4])('logs out on async event %i, after the started commands', (event) => {
    bench.read(512);
    const [read] = bench.flush();
    bench.receive(target.asyncMessage({ event, statSn: bench.statSn++ }));
    bench.read(512); // not started any more
    expect(bench.flush()).toEqual([]);
    bench.respond(read!);
    const [logout] = bench.flush();
    expect(logout).toMatchObject({ opcode: Opcode.LOGOUT_REQUEST, immediate: true });
    const fields = { itt: itt(logout), response: 0, statSn: bench.statSn++ };
    bench.receive(target.response(Opcode.LOGOUT_RESPONSE, fields));
    expect(bench.end).toMatchObject({ kind: 'logout' });
    bench.session.abandon();
    expect(bench.outcomes.map((outcome) => outcome.kind)).toEqual(['status', 'lost']);
  });

  it.each([2, 3])('is over on async event %i', (event) => {
    bench.receive(target.asyncMessage({ event, statSn: bench.statSn++ }));
    expect(bench.end).toMatchObject({ kind: 'logout' });
  });

  it.each([0, 255])('goes on after async event %i', (event) => {
    bench.receive(target.asyncMessage({ event, statSn: bench.statSn++ }));
    expect(bench.messages).toMatchObject([{ event }]);
    expect(bench.end).toBeUndefined();
  });

  it('reports an answered write as answered when the connection dies with it unsent', () => {
    bench.write(512);
    const [sent] = bench.take();
    bench.respond(sent!);
    bench.write(512);
    bench.session.fail({ kind: 'aborted', detail: 'test' });
    bench.session.abandon();
    expect(bench.outcomes).toEqual([GOOD, { kind: 'lost' }]);
    expect(bench.session.outstanding).toBe(0);
  });

  it('drops a target that floods it with pings', () => {
    for (let ttt = 0; ttt < 65; ttt++) {
      bench.receive(target.nopIn({ itt: NO_TAG, ttt, maxCmdSn: 1000 }));
    }
    expect(bench.end).toMatchObject({ kind: 'protocol' });
  });
});
