/** The dispatcher alone: what it makes of answers, of late ones too. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { ScsiOutcome } from '../../../../src/ports/session.ts';
import type { Dispatcher } from '../../../../src/volume/io/dispatch.ts';
import {
  ABORTED,
  ATTENTION,
  BUSY,
  CACHED,
  CONFLICT,
  good,
  NO_LUN,
  sense,
  status,
  DispatchBench,
  LateSession,
} from '../../../support/model/late-session.ts';
import type { VirtualClock } from '../../../support/model/virtual-clock.ts';

let clock: VirtualClock;
let dispatcher: Dispatcher;
let session: LateSession;
let heard: string[];
let answers: DispatchBench['answers'];
let submit: DispatchBench['submit'];
let release: DispatchBench['release'];

beforeEach(() => {
  const bench = new DispatchBench();
  ({ clock, dispatcher, session, heard, answers } = bench);
  submit = (...args) => bench.submit(...args);
  release = (...args) => bench.release(...args);
});

describe('a callback of a path that was left', () => {
  const late: readonly [string, ScsiOutcome][] = [
    ['GOOD', good(512)],
    ['BUSY', BUSY],
    ['ABORTED COMMAND', ABORTED],
    ['a unit attention', ATTENTION],
    ['a medium error', sense(3, 0x0c, 0)],
    ['LUN absent', NO_LUN],
    ['a reservation conflict', CONFLICT],
    ['lost', { kind: 'lost' }],
  ];

  it.each(late)('%s for a write changes nothing; the replay is answered once', async (_, what) => {
    release();
    submit('write');
    expect(dispatcher.abandon()).toBe(1);
    const next = new LateSession(clock);
    release(next);
    session.answer(0, what);
    await clock.advance(5_000);
    expect([answers, heard, session.sent.length]).toEqual([[], [], 1]);
    expect([dispatcher.ledger.issued, dispatcher.ledger.unansweredWrites]).toEqual([1, 1]);
    expect(dispatcher.inFlight()).toMatchObject({ progress: 0, slowOnly: false });
    next.answer(0);
    expect(answers).toEqual([['write 0', undefined]]);
    expect(dispatcher.inFlight()).toBeUndefined();
  });

  it.each(late)('%s for SYNCHRONIZE CACHE answers no flush', async (_, what) => {
    release(session, CACHED);
    submit('flush');
    dispatcher.abandon();
    const next = new LateSession(clock);
    release(next, CACHED);
    session.answer(0, what);
    await clock.advance(5_000);
    expect([answers, heard, session.sent.length, next.sent.length]).toEqual([[], [], 1, 1]);
    next.answer(0);
    expect(answers).toEqual([['flush 0', undefined]]);
  });

  it('a pause for BUSY that began there ends nowhere', async () => {
    release();
    submit('write');
    session.answer(0, BUSY);
    dispatcher.abandon();
    const next = new LateSession(clock);
    release(next);
    await clock.advance(5_000);
    expect([session.sent.length, next.sent.length]).toEqual([1, 1]);
  });

  it('a command that nobody knows the outcome of stays unanswered until the path is left', () => {
    release();
    submit('write');
    session.answer(0, { kind: 'lost' });
    expect(answers).toEqual([]);
    expect(dispatcher.ledger.unansweredWrites).toBe(1);
    expect(dispatcher.abandon()).toBe(1);
  });
});

describe('a request of several pieces', () => {
  it('is answered when all have ended, with the error of the first that failed', () => {
    release();
    submit('write', 0, 12);
    expect(session.ops).toEqual(['write 0', 'write 4', 'write 8']);
    session.answer(1, sense(7, 0x27, 7));
    session.answer(0);
    expect(answers).toEqual([]);
    session.answer(2, sense(3, 0x0c, 0));
    expect(answers).toEqual([['write 0', 'ENOSPC']]);
    expect(dispatcher.ioErrors).toBe(1);
  });

  it('that failed in part is not flushed', () => {
    release(session, CACHED);
    submit('write', 0, 8);
    session.answer(0, sense(3, 0x0c, 0));
    session.answer(1);
    expect(session.ops).toEqual(['write 0', 'write 4']);
    expect(answers).toEqual([['write 0', 'EIO']]);
  });

  it('whose other piece pauses counts as unanswered by neither', async () => {
    release();
    submit('write', 0, 8);
    session.answer(0, BUSY);
    session.answer(1);
    expect(dispatcher.ledger.unansweredWrites).toBe(0);
    expect(dispatcher.inFlight()).toBeUndefined();
    await clock.advance(10);
    expect(session.ops).toEqual(['write 0', 'write 4', 'write 0']);
    expect(dispatcher.ledger.unansweredWrites).toBe(1);
    session.answer(2);
    expect(answers).toEqual([['write 0', undefined]]);
  });
});

describe('a busy target', () => {
  it.each([0x08, 0x28])(
    'status %i: asked again after pauses that grow to a second',
    async (code) => {
      release();
      session.auto = () => (session.sent.length <= 10 ? status(code) : good());
      submit('write');
      await clock.advance(10_000);
      expect(session.pauses).toEqual([8, 16, 32, 64, 128, 256, 512, 1_000, 1_000, 1_000]);
      expect(answers).toEqual([['write 0', undefined]]);
    },
  );

  it('keeps the request its place: what overlaps goes out after it, what does not before', async () => {
    release();
    submit('write', 0);
    submit('write', 0);
    submit('write', 9);
    session.answer(0, BUSY);
    await clock.advance(5);
    expect(session.ops).toEqual(['write 0', 'write 9']);
    await clock.advance(5);
    session.answer(2);
    expect(session.ops).toEqual(['write 0', 'write 9', 'write 0', 'write 0']);
  });

  it('is never an error, however long', async () => {
    release();
    session.auto = () => BUSY;
    submit('write');
    await clock.advance(300_000);
    expect([answers, heard]).toEqual([[], ['p0 is busy: write 0+512']]);
  });
});

describe('unit attentions and aborted commands', () => {
  it('each unit attention is told, and the command goes again at once, then at a walk', async () => {
    release();
    session.auto = () => (session.sent.length <= 10 ? ATTENTION : good());
    submit('write');
    await clock.advance(5_000);
    expect(heard).toEqual(Array.from({ length: 10 }, () => 'attention 2a'));
    expect(session.pauses).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1_000, 1_000]);
    expect(answers).toEqual([['write 0', undefined]]);
  });

  it('unit attentions are no error, however many', async () => {
    release();
    session.auto = () => (session.sent.length <= 100 ? ATTENTION : good());
    submit('write');
    await clock.advance(200_000);
    expect(answers).toEqual([['write 0', undefined]]);
  });

  it.each([
    ['ABORTED COMMAND', ABORTED],
    ['TASK ABORTED', status(0x40)],
  ])('%s for ever: EIO after 30 s, no verdict on the path', async (_, outcome) => {
    release();
    session.auto = () => outcome;
    submit('write');
    await clock.advance(29_900);
    expect(answers).toEqual([]);
    await clock.advance(200);
    expect(answers).toEqual([['write 0', 'EIO']]);
    expect(session.pauses.slice(0, 9)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1_000]);
    expect(session.sent).toHaveLength(39);
    expect(heard).toEqual([]);
    await clock.advance(60_000);
    expect(session.sent).toHaveLength(39);
  });

  it('time that a target was busy does not count as aborts', async () => {
    release();
    session.auto = () => {
      const n = session.sent.length;
      return n <= 60 ? BUSY : n === 61 ? ABORTED : good();
    };
    submit('write');
    await clock.advance(100_000);
    expect(answers).toEqual([['write 0', undefined]]);
  });

  it('on the next path the count begins anew', async () => {
    release();
    session.auto = () => ABORTED;
    submit('write');
    await clock.advance(25_000);
    dispatcher.abandon();
    const next = new LateSession(clock);
    next.auto = () => (next.sent.length <= 20 ? ABORTED : good());
    release(next);
    await clock.advance(25_000);
    expect(answers).toEqual([['write 0', undefined]]);
  });

  it('a SYNCHRONIZE CACHE that is aborted for ever ends as an error too, a busy one does not', async () => {
    release(session, CACHED);
    session.auto = () => (session.sent.length <= 60 ? BUSY : ABORTED);
    submit('flush');
    await clock.advance(60_000);
    expect(answers).toEqual([]);
    await clock.advance(60_000);
    expect(answers).toEqual([['flush 0', 'EIO']]);
  });
});

describe('answers', () => {
  it.each([511, 0])('GOOD with %i of 512 bytes read is EIO', (received) => {
    release();
    submit('read');
    session.answer(0, good(received));
    expect(answers).toEqual([['read 0', 'EIO']]);
  });

  it('of a read is judged piece by piece', () => {
    release();
    submit('read', 0, 8);
    session.answer(0, good(2_048));
    session.answer(1, good(2_047));
    expect(answers).toEqual([['read 0', 'EIO']]);
  });

  it('that speak against the path, or say that another node has it, answer nothing', async () => {
    release();
    submit('read', 0);
    submit('write', 1);
    session.answer(0, NO_LUN);
    session.answer(1, CONFLICT);
    await clock.advance(5_000);
    expect([heard, answers, session.sent.length]).toEqual([
      ['lun-absent', 'reservation-conflict'],
      [],
      2,
    ]);
    expect(dispatcher.ledger.issued).toBe(2);
  });
});

describe('what is in flight', () => {
  it.each([
    ['read', false],
    ['write', false],
    ['flush', true],
    ['discard', true],
    ['write-zeroes', true],
  ] as const)('%s: only slow kinds is %s', (kind, slowOnly) => {
    release(session, CACHED);
    expect(dispatcher.inFlight()).toBeUndefined();
    submit(kind);
    session.progress = 7;
    expect(dispatcher.inFlight()).toMatchObject({ progress: 7, slowOnly });
  });

  it('quick and slow together are quick; the flush of an answered write is slow', () => {
    release(session, CACHED);
    submit('discard', 9);
    submit('write', 0);
    expect(dispatcher.inFlight()?.slowOnly).toBe(false);
    session.answer(1);
    expect(session.ops).toEqual(['same 9', 'write 0', 'sync 0']);
    expect(dispatcher.inFlight()?.slowOnly).toBe(true);
    session.answer(0);
    session.answer(2);
    expect(session.ops).toHaveLength(4); // the discard waits for a flush of its own
    session.answer(3);
    expect([dispatcher.inFlight(), answers.length]).toEqual([undefined, 2]);
  });

  it('nothing while everything pauses', async () => {
    release(session, CACHED);
    submit('read');
    submit('flush');
    session.answer(0, BUSY);
    session.answer(1, BUSY);
    expect(dispatcher.inFlight()).toBeUndefined();
    await clock.advance(10);
    expect(dispatcher.inFlight()?.slowOnly).toBe(false);
  });
});

describe('SYNCHRONIZE CACHE', () => {
  it('is sent again while the target is busy or has news, which is told', async () => {
    release(session, CACHED);
    submit('flush');
    session.answer(0, BUSY);
    await clock.advance(8);
    session.answer(1, ATTENTION);
    await clock.advance(16);
    expect([heard, answers]).toEqual([['attention 2a'], []]);
    session.answer(2);
    expect(answers).toEqual([['flush 0', undefined]]);
  });

  it('covers every write that was answered before it was issued', () => {
    release(session, CACHED);
    submit('write', 0);
    submit('write', 1);
    session.answer(0);
    session.answer(1); // the first flush is out already
    session.answer(2);
    expect(answers).toEqual([['write 0', undefined]]);
    expect(dispatcher.ledger.unansweredWrites).toBe(1);
    session.answer(3);
    expect(answers).toHaveLength(2);
  });

  it('that meets a path fault or a conflict tells it and answers nobody', () => {
    release(session, CACHED);
    submit('flush');
    session.answer(0, NO_LUN);
    dispatcher.abandon();
    release(session, CACHED);
    session.answer(1, CONFLICT);
    expect([heard, answers]).toEqual([['lun-absent', 'reservation-conflict'], []]);
  });

  it.each([
    ['none', undefined],
    ['unknown', undefined],
    ['volatile', 'EOPNOTSUPP'],
  ] as const)('not known to a target whose cache is %s: %s', (writeCache, error) => {
    release(session, { writeCache });
    submit('flush');
    session.answer(0, sense(5, 0x20, 0));
    expect(answers).toEqual([['flush 0', error]]);
  });
});
