/** ABORT TASK and ABORT TASK SET (RFC 7143 11.5.1): what is named, what is lost, what is not. */
import { beforeEach, describe, expect, it } from 'vitest';
import { get32 } from '../../../../src/base/bytes.ts';
import { Field, Opcode } from '../../../../src/protocol/iscsi/bhs.ts';
import * as target from './pdus.ts';
import { Bench, GOOD, itt, type Sent } from './session-bench.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

it('aborts one task, named by tag, CmdSN and LUN, and reports it alone as lost', () => {
  bench.read(512);
  bench.read(512);
  const [first, second] = bench.flush();
  const responses: number[] = [];
  const command = bench.commands[1]!;
  expect(bench.session.abortTask(command, (code) => responses.push(code))).toBe(true);
  const [abort] = bench.flush();
  expect(abort).toMatchObject({ opcode: Opcode.TASK_MANAGEMENT_REQUEST, immediate: true });
  expect(abort!.header[1]).toBe(0x81);
  expect(get32(abort!.header, Field.REFERENCED_TASK_TAG)).toBe(itt(second));
  expect(get32(abort!.header, Field.REF_CMD_SN)).toBe(11);
  expect(abort!.header.subarray(8, 16)).toEqual(second!.header.subarray(8, 16));
  const fields = { itt: itt(abort), response: 0, statSn: bench.statSn++ };
  bench.receive(target.response(Opcode.TASK_MANAGEMENT_RESPONSE, fields));
  expect(responses).toEqual([0]);
  expect(bench.outcomes).toEqual([{ kind: 'ended' }]);
  bench.respond(first!);
  expect(bench.outcomes).toEqual([{ kind: 'ended' }, GOOD]);
  expect(bench.session.outstanding).toBe(0);
});

it('loses nothing when the task was answered before its abort arrived', () => {
  bench.read(512);
  const [read] = bench.flush();
  const responses: number[] = [];
  bench.session.abortTask(bench.commands[0]!, (code) => responses.push(code));
  const [abort] = bench.flush();
  bench.respond(read!);
  const fields = { itt: itt(abort), response: 1, statSn: bench.statSn++ };
  bench.receive(target.response(Opcode.TASK_MANAGEMENT_RESPONSE, fields));
  expect(responses).toEqual([1]);
  expect(bench.outcomes).toEqual([GOOD]);
});

it('takes a command back that was not sent yet: it has ended, and is never sent', () => {
  bench.read(512);
  bench.read(1024);
  const responses: number[] = [];
  const command = bench.commands[0]!;
  expect(bench.session.abortTask(command, (code) => responses.push(code))).toBe(true);
  expect([responses, bench.outcomes]).toEqual([[0], [{ kind: 'ended' }]]);
  const sent = bench.flush();
  expect(sent).toHaveLength(1);
  bench.respond(sent[0]!);
  expect(bench.outcomes).toEqual([{ kind: 'ended' }, GOOD]);
  expect(bench.session.outstanding).toBe(0);
});

it('has nothing to abort of a command that was answered', () => {
  bench.read(512);
  const never = (): void => expect.unreachable();
  const [read] = bench.flush();
  bench.respond(read!);
  expect(bench.session.abortTask(bench.commands[0]!, never)).toBe(false);
});

it('sends no more data of a task that was aborted', () => {
  bench.write(6000);
  const [write] = bench.flush();
  bench.session.manage(2, () => undefined);
  const [abort] = bench.flush();
  expect(abort!.header[1]).toBe(0x82);
  bench.receive(target.r2t({ itt: itt(write), ttt: 1, r2tSn: 0, offset: 2048, length: 2048 }));
  const fields = { itt: itt(abort), response: 0, statSn: bench.statSn++ };
  bench.receive(target.response(Opcode.TASK_MANAGEMENT_RESPONSE, fields));
  expect(bench.outcomes).toEqual([{ kind: 'ended' }]);
  expect(bench.flush()).toEqual([]);
  expect(bench.end).toBeUndefined();
});

const R2T = { ttt: 1, r2tSn: 0, offset: 2048, length: 2048 };

function answer(abort: Sent | undefined, response: number): void {
  const fields = { itt: itt(abort), response, statSn: bench.statSn++ };
  bench.receive(target.response(Opcode.TASK_MANAGEMENT_RESPONSE, fields));
}

/** A write of which the first burst has left, and what its abort looks like on the wire. */
function aborted(what: 'task' | 'set' | 'unit'): { write: Sent; abort: Sent } {
  bench.write(6000);
  const [write] = bench.flush();
  const never = (): void => undefined;
  if (what === 'task') bench.session.abortTask(bench.commands[0]!, never);
  else bench.session.manage(what === 'set' ? 2 : 5, never);
  const [abort] = bench.flush();
  return { write: write!, abort: abort! };
}

describe('R2Ts of what is being aborted', () => {
  beforeEach(() => (bench = new Bench({}, 1000, { fastAbort: true })));

  const functions = ['task', 'set', 'unit'] as const;

  it.each(functions)('are not answered once the function was sent, if so wanted (%s)', (what) => {
    const { write, abort } = aborted(what);
    bench.receive(target.r2t({ itt: itt(write), ...R2T }));
    expect(bench.flush()).toEqual([]);
    answer(abort, 0);
    expect(bench.flush()).toEqual([]);
    expect([bench.outcomes, bench.end]).toEqual([[{ kind: 'ended' }], undefined]);
  });

  it('that came before are not answered either, from the next PDU on', () => {
    bench.write(6000);
    const [write] = bench.flush();
    bench.receive(target.r2t({ itt: itt(write), ...R2T }));
    expect(bench.take(1)).toHaveLength(1); // half of it
    bench.session.flushed(false);
    bench.session.manage(2, () => undefined);
    expect(bench.flush().map(({ opcode }) => opcode)).toEqual([Opcode.TASK_MANAGEMENT_REQUEST]);
  });

  it.each(functions)('are answered when the target refuses the function (%s)', (what) => {
    const { write, abort } = aborted(what);
    bench.receive(target.r2t({ itt: itt(write), ...R2T }));
    expect(bench.flush()).toEqual([]);
    answer(abort, 5);
    const sent = bench.flush();
    expect(sent.map(({ opcode }) => opcode)).toEqual([Opcode.DATA_OUT, Opcode.DATA_OUT]);
    expect(sent.map(({ final }) => final)).toEqual([false, true]);
    expect(bench.outcomes).toEqual([]);
  });

  it.each(functions)('are answered all the time unless fast abort was asked for (%s)', (what) => {
    bench = new Bench();
    const { write, abort } = aborted(what);
    bench.receive(target.r2t({ itt: itt(write), ...R2T }));
    expect(bench.flush()).toHaveLength(2);
    answer(abort, 0);
    expect(bench.outcomes).toEqual([{ kind: 'ended' }]);
  });

  it('wait for the last of several functions that name the task', () => {
    const { write, abort } = aborted('set');
    bench.session.manage(5, () => undefined);
    const [reset] = bench.flush();
    bench.receive(target.r2t({ itt: itt(write), ...R2T }));
    answer(abort, 5);
    expect(bench.flush()).toEqual([]);
    answer(reset, 5);
    expect(bench.flush()).toHaveLength(2);
  });

  it('of other tasks, and data that was promised unasked, are sent as ever', () => {
    bench.write(6000);
    expect(bench.take(1)).toHaveLength(1); // the command; the rest of its first burst waits
    bench.session.flushed(false);
    bench.session.abortTask(bench.commands[0]!, () => undefined);
    expect(bench.flush().map(({ opcode }) => opcode)).toEqual([
      Opcode.TASK_MANAGEMENT_REQUEST,
      Opcode.DATA_OUT,
    ]);
    bench.write(6000);
    const [other] = bench.flush();
    bench.receive(target.r2t({ itt: itt(other), ...R2T }));
    expect(bench.flush()).toHaveLength(2);
  });
});
