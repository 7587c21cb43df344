/** The gate of the dispatcher: when it lets commands out, and what it does at the end. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Dispatcher } from '../../../../src/volume/io/dispatch.ts';
import {
  ABORTED,
  ATTENTION,
  BUSY,
  DispatchBench,
  LateSession,
} from '../../../support/model/late-session.ts';
import type { VirtualClock } from '../../../support/model/virtual-clock.ts';

let clock: VirtualClock;
let dispatcher: Dispatcher;
let session: LateSession;
let answers: DispatchBench['answers'];
let submit: DispatchBench['submit'];
let release: DispatchBench['release'];

beforeEach(() => {
  const bench = new DispatchBench();
  ({ clock, dispatcher, session, answers } = bench);
  submit = (...args) => bench.submit(...args);
  release = (...args) => bench.release(...args);
});

describe('hold, release, resume', () => {
  it('before the first release requests are taken in and nothing is sent', () => {
    submit('write');
    submit('read', 3);
    expect([dispatcher.isHolding, session.sent.length, dispatcher.ledger.size]).toEqual([
      true,
      0,
      2,
    ]);
    release();
    expect([dispatcher.isHolding, session.ops]).toEqual([false, ['write 0', 'read 3']]);
  });

  it('held: nothing new goes out, retries do, and the drain ends with the last answer', async () => {
    release();
    submit('write');
    let drained = false;
    dispatcher.hold();
    void dispatcher.drained().then(() => (drained = true));
    submit('write', 5);
    session.answer(0, BUSY);
    await clock.advance(10);
    expect([drained, session.ops]).toEqual([false, ['write 0', 'write 0']]);
    session.answer(1);
    await clock.settle();
    expect([drained, session.sent.length]).toEqual([true, 2]);
    await dispatcher.drained(); // and at once when there is nothing
    dispatcher.resume();
    expect(session.ops.at(-1)).toBe('write 5');
  });

  it('frozen: not even retries, until it is resumed', async () => {
    release();
    submit('write', 0);
    submit('write', 1);
    session.answer(0, BUSY);
    session.answer(1, ATTENTION); // sent again at once, before the volume knows better
    dispatcher.freeze();
    session.answer(2, ATTENTION);
    await clock.advance(5_000);
    expect(session.ops).toEqual(['write 0', 'write 1', 'write 1']);
    dispatcher.resume();
    expect(session.ops.slice(3).sort()).toEqual(['write 0', 'write 1']);
    session.answer(3);
    session.answer(4);
    expect(answers).toHaveLength(2);
    submit('write', 2);
    session.answer(5, BUSY);
    await clock.advance(10);
    expect(session.sent).toHaveLength(7); // thawed for good
  });

  it('what was frozen in is not sent twice when the path is left', async () => {
    release();
    submit('write');
    dispatcher.freeze();
    session.answer(0, ABORTED);
    dispatcher.abandon();
    const next = new LateSession(clock);
    release(next);
    await clock.advance(5_000);
    expect([session.sent.length, next.sent.length]).toEqual([1, 1]);
    next.answer(0, BUSY); // the doubt was about the other path: retries go out here
    await clock.advance(10);
    expect(next.sent).toHaveLength(2);
  });

  it('abandoned, it has no route, and resume alone sends nothing', () => {
    release();
    submit('write');
    dispatcher.abandon();
    dispatcher.resume();
    submit('read', 9);
    expect([dispatcher.route, session.sent.length]).toEqual([undefined, 1]);
  });
});

describe('fail', () => {
  it('answers everything once with EIO, late answers and later requests included', async () => {
    release();
    submit('write', 0);
    submit('write', 0);
    submit('read', 5);
    session.answer(1, BUSY);
    let drained = false;
    void dispatcher.drained().then(() => (drained = true));
    dispatcher.fail();
    session.answer(0);
    dispatcher.fail();
    submit('flush');
    expect(answers).toHaveLength(3); // never from within submit
    await clock.advance(5_000);
    expect(drained).toBe(true);
    expect(answers.map(([, error]) => error)).toEqual(['EIO', 'EIO', 'EIO', 'EIO']);
    expect([dispatcher.ioErrors, session.sent.length]).toEqual([4, 2]);
    release();
    submit('write');
    await clock.advance(10);
    expect(session.sent).toHaveLength(2);
  });
});
