/** ABORT TASK and ABORT TASK SET (RFC 7143 11.5.1): what is named, what is lost, what is not. */
import { beforeEach, expect, it } from 'vitest';
import { get32 } from '../../../../src/base/bytes.ts';
import { Field, Opcode } from '../../../../src/protocol/iscsi/bhs.ts';
import * as target from './pdus.ts';
import { Bench, GOOD, itt } from './session-bench.ts';

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
  expect(bench.outcomes).toEqual([{ kind: 'lost' }]);
  bench.respond(first!);
  expect(bench.outcomes).toEqual([{ kind: 'lost' }, GOOD]);
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

it('has nothing to abort of a command that was not sent, or was answered', () => {
  bench.read(512);
  const never = (): void => expect.unreachable();
  expect(bench.session.abortTask(bench.commands[0]!, never)).toBe(false);
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
  expect(bench.outcomes).toEqual([{ kind: 'lost' }]);
  expect(bench.flush()).toEqual([]);
  expect(bench.end).toBeUndefined();
});
