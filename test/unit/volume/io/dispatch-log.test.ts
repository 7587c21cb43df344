/** The dispatcher under write policy `log`: what is answered when, what is flushed, replayed, and lost. */
import { beforeEach, describe, expect, it } from 'vitest';
import { RecentWrites } from '../../../../src/volume/unit/recent-writes.ts';
import {
  DispatchBench,
  good,
  LateSession,
  NO_LUN,
  sense,
} from '../../../support/model/late-session.ts';

const VOLATILE = { writeCache: 'volatile', fua: true } as const;
const NO_FUA = { writeCache: 'volatile', fua: false } as const;
const MEDIUM_ERROR = sense(3, 0x0c, 0);

let bench: DispatchBench;

beforeEach(() => {
  bench = new DispatchBench();
  bench.limits = { bytes: 1 << 20, count: 1000 };
});

/** A write that the target has acknowledged; it is the session's command number `index`. */
function acknowledged(index: number, lba = index, session = bench.session): void {
  bench.submit('write', lba);
  session.answer(index);
}

/** The path is lost; a next session on which everything is answered by hand. */
function failOver(): LateSession {
  bench.dispatcher.abandon();
  const next = new LateSession(bench.clock);
  bench.release(next, VOLATILE);
  return next;
}

describe('a write', () => {
  it('goes without FUA and is answered with the target', () => {
    bench.release(bench.session, VOLATILE);
    bench.submit('write');
    expect(bench.session.sent.map(({ what }) => what.fua)).toEqual([false]);
    bench.session.answer(0);
    expect(bench.answers).toEqual([['write 0', undefined]]);
    expect(bench.dispatcher.ledger.log.count).toBe(1);
  });

  it.each(['discard', 'write-zeroes'] as const)(
    '%s is answered without a flush, and kept',
    (kind) => {
      bench.release(bench.session, VOLATILE);
      bench.submit(kind);
      bench.session.answer(0);
      expect([bench.session.ops, bench.answers.length]).toEqual([['same 0'], 1]);
      expect(bench.dispatcher.ledger.log.count).toBe(1);
    },
  );

  it('that must be stable carries FUA, and is kept all the same', () => {
    bench.release(bench.session, VOLATILE);
    bench.submit('write', 0, 1, true);
    expect(bench.session.sent[0]?.what.fua).toBe(true);
    bench.session.answer(0);
    expect([bench.answers.length, bench.dispatcher.ledger.log.count]).toEqual([1, 1]);
  });

  it.each(['write', 'discard', 'write-zeroes'] as const)(
    '%s that must be stable is answered after a flush where FUA does not exist',
    (kind) => {
      bench.release(bench.session, NO_FUA);
      bench.submit(kind, 0, 1, true);
      bench.session.answer(0);
      expect(bench.answers).toEqual([]);
      expect(bench.dispatcher.ledger.unansweredWrites).toBe(1);
      bench.session.answer(1);
      expect(bench.answers).toEqual([[`${kind} 0`, undefined]]);
      expect(bench.dispatcher.ledger.log.count).toBe(0);
    },
  );

  it('is not kept where there is no volatile cache', () => {
    bench.release(bench.session, { writeCache: 'none' });
    acknowledged(0);
    expect(bench.dispatcher.ledger.log.count).toBe(0);
  });

  it('that failed is not kept', () => {
    bench.release(bench.session, VOLATILE);
    bench.submit('write');
    bench.session.answer(0, MEDIUM_ERROR);
    expect([bench.answers, bench.dispatcher.ledger.log.count]).toEqual([[['write 0', 'EIO']], 0]);
  });

  it('after a change to `through` is stable, and kept while there is something older in the log', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0, 0);
    bench.limits = undefined;
    acknowledged(1, 0);
    expect(bench.session.sent[1]?.what.fua).toBe(true);
    expect(bench.dispatcher.ledger.log.count).toBe(2);
    bench.dispatcher.ahead.relieve();
    bench.session.answer(2);
    acknowledged(3, 0);
    expect(bench.dispatcher.ledger.log.count).toBe(0);
  });

  it('that went out before a change to `through` is kept: it had no FUA', () => {
    bench.release(bench.session, VOLATILE);
    bench.submit('write');
    bench.limits = undefined;
    bench.session.answer(0);
    expect(bench.dispatcher.ledger.log.count).toBe(1);
  });
});

describe('a flush', () => {
  it('empties the log of what was acknowledged before it was sent', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    bench.submit('flush');
    acknowledged(2, 9);
    bench.session.answer(1);
    expect(bench.answers.at(-1)).toEqual(['flush 0', undefined]);
    expect(bench.dispatcher.ledger.log.count).toBe(1);
    expect(failOver().ops).toEqual(['write 9']);
  });

  it('on the next path waits until everything was replayed', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    bench.submit('flush');
    const next = failOver();
    bench.session.answer(1); // too late
    expect(next.ops).toEqual(['write 0']);
    next.answer(0);
    expect(next.ops).toEqual(['write 0', 'sync 0']);
    expect(bench.answers).toEqual([['write 0', undefined]]);
    next.answer(1);
    expect(bench.answers.at(-1)).toEqual(['flush 0', undefined]);
    expect(bench.dispatcher.ledger.unflushed).toBe(0);
  });

  it('that fails loses what it was for: nobody is told that all is well, now or later', async () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    bench.submit('flush');
    bench.session.answer(1, MEDIUM_ERROR);
    bench.submit('flush');
    await bench.clock.advance(5_000);
    expect(bench.heard).toEqual([expect.stringMatching(/^lost: flush failed, .*medium error/i)]);
    expect([bench.answers.length, bench.session.sent.length]).toEqual([1, 2]);
  });

  it('that fails with nothing in the log is an error and no more', () => {
    bench.release(bench.session, VOLATILE);
    bench.submit('flush');
    bench.session.answer(0, MEDIUM_ERROR);
    expect([bench.heard, bench.answers]).toEqual([[], [['flush 0', 'EIO']]]);
  });

  it('of a target without the command and with a cache is no flush', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    bench.submit('flush');
    bench.session.answer(1, sense(5, 0x20, 0));
    expect(bench.heard[0]).toMatch(/^lost/);
  });

  it('is not believed once the target has ended the commands of the nexus', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    bench.submit('flush');
    bench.dispatcher.distrust();
    bench.session.answer(1);
    expect(bench.answers).toHaveLength(1);
    expect(bench.dispatcher.ledger.log.count).toBe(1);
    expect(failOver().ops).toEqual(['write 0']);
  });
});

describe('a replay', () => {
  it('is answered to nobody, and kept again', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    const next = failOver();
    next.answer(0);
    expect(bench.answers).toHaveLength(1);
    expect(bench.dispatcher.ledger.log.count).toBe(1);
  });

  it.each([
    ['a medium error', MEDIUM_ERROR],
    ['a full thin pool', sense(7, 0x27, 7)],
    ['a refusal', sense(5, 0x24, 0)],
  ])('that ends with %s is lost: no flush gets past it', async (_, outcome) => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    const next = failOver();
    bench.submit('flush');
    next.answer(0, outcome);
    await bench.clock.advance(60_000);
    expect(bench.heard).toEqual([expect.stringMatching(/^lost: replay of write 0\+512 failed/)]);
    expect([bench.answers.length, next.ops]).toEqual([1, ['write 0']]);
    bench.dispatcher.fail();
    expect(bench.answers.slice(1)).toEqual([['flush 0', 'EIO']]);
    expect(bench.dispatcher.ioErrors).toBe(1);
  });

  it('that meets a path fault is lost with its path only', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    failOver().answer(0, NO_LUN);
    expect(bench.heard).toEqual(['lun-absent']);
    expect(failOver().ops).toEqual(['write 0']);
  });

  it('on a path without a volatile cache is stable, and done with', () => {
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    bench.dispatcher.abandon();
    const next = new LateSession(bench.clock);
    bench.release(next, { writeCache: 'none' });
    next.answer(0);
    expect(bench.dispatcher.ledger.unflushed).toBe(0);
  });
});

describe('the bound', () => {
  it('is not waited for: from half of it on the log is flushed, and writes go on', () => {
    bench.limits = { bytes: 1 << 20, count: 4 };
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    acknowledged(1);
    expect(bench.session.ops).toEqual(['write 0', 'write 1', 'sync 0']);
    acknowledged(3, 3);
    expect(bench.dispatcher.ahead.forced).toBe(1);
    bench.session.answer(2);
    expect(bench.dispatcher.ledger.log.count).toBe(1);
    expect(bench.answers).toHaveLength(3);
  });

  it('makes writes wait while a flush is out, and reads not', async () => {
    bench.limits = { bytes: 1 << 20, count: 2 };
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    for (const lba of [10, 11, 12]) bench.submit('write', lba);
    bench.submit('read', 50);
    expect(bench.session.ops).toEqual(['write 0', 'sync 0', 'write 10', 'read 50']);
    await bench.clock.advance(60_000);
    expect(bench.session.sent).toHaveLength(4);
    bench.session.auto = () => good(512);
    bench.session.answer(1);
    bench.session.answer(2);
    await bench.clock.advance(1_000);
    expect(bench.answers.filter(([what]) => what.startsWith('write'))).toEqual(
      [0, 10, 11, 12].map((lba) => [`write ${String(lba)}`, undefined]),
    );
  });

  it('is kept across a loss of the path: the flush that makes room is made again', async () => {
    bench.limits = { bytes: 1 << 20, count: 2 };
    bench.release(bench.session, VOLATILE);
    acknowledged(0);
    acknowledged(2, 1);
    bench.submit('write', 2);
    const next = failOver();
    expect(next.ops).toEqual(['write 0', 'write 1']);
    next.auto = () => good();
    next.answer(0);
    next.answer(1);
    await bench.clock.advance(1_000);
    expect(next.ops.slice(2, 4)).toEqual(['sync 0', 'write 2']);
    expect(bench.answers.at(-1)).toEqual(['write 2', undefined]);
  });
});

describe('samples for other paths to show', () => {
  it('are taken when a write was flushed, not before: only then must every path show it', () => {
    bench.recent = new RecentWrites(512);
    bench.release(bench.session, VOLATILE);
    acknowledged(0, 5);
    expect(bench.recent.newest(4)).toEqual([]);
    bench.submit('flush');
    bench.session.answer(1);
    expect(bench.recent.newest(4)).toMatchObject([{ offset: 5 * 512 }]);
  });
});
