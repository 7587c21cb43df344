/** A request of very many commands: a few of them at the target at once, whatever happens to them. */
import { beforeEach, describe, expect, it } from 'vitest';
import {
  BUSY,
  DispatchBench,
  good,
  LateSession,
  sense,
} from '../../../support/model/late-session.ts';

const GIB = 2 ** 30;
/** 4 GiB in commands of 8 blocks: a million of them. */
const PIECES = (4 * GIB) / 4096;
const AT_ONCE = 32;

let bench: DispatchBench;

/** `submit` takes a size in blocks of 512 bytes. */
function discard(blocks: number): void {
  bench.submit('discard', 0, blocks);
}

beforeEach(() => {
  bench = new DispatchBench();
});

describe('a discard of 4 GiB that needs a million commands', () => {
  it('has a few of them at the target at once, in order, and one answer at the end', () => {
    const { session, answers } = bench;
    bench.release(session, { maxWriteSameBlocks: 8 });
    discard(PIECES * 8);
    expect(session.sent).toHaveLength(AT_ONCE);
    for (let i = 0; i < 1_000; i++) session.answer(i);
    expect(session.sent).toHaveLength(AT_ONCE + 1_000);
    const lbas = session.sent.map(({ what }) => what.lba);
    expect(lbas).toEqual(lbas.map((_, i) => i * 8));
    expect(answers).toEqual([]);
  });

  it('covers every block once, and is answered when the last command is', () => {
    const { session, answers } = bench;
    bench.release(session, { maxWriteSameBlocks: 8 });
    discard(8 * 100 + 3);
    for (let i = 0; i < 101; i++) {
      expect([answers, session.sent.length]).toEqual([[], Math.min(101, AT_ONCE + i)]);
      session.answer(i);
    }
    expect(answers).toEqual([['discard 0', undefined]]);
    expect(session.sent.map(({ what }) => what.blocks)).toEqual([
      ...Array.from({ length: 100 }, () => 8),
      3,
    ]);
  });

  it('keeps its place: what overlaps waits for the last command', () => {
    const { session } = bench;
    bench.release(session, { maxWriteSameBlocks: 8 });
    discard(8 * 40);
    bench.submit('write', 1);
    for (let i = 0; i < 39; i++) session.answer(i);
    expect(session.ops.at(-1)).toBe('same 312');
    session.answer(39);
    expect(session.ops.at(-1)).toBe('write 1');
  });

  it('ends at the first error: what is not sent yet stays unsent', () => {
    const { session, answers } = bench;
    bench.release(session, { maxWriteSameBlocks: 8 });
    discard(8 * 100);
    session.answer(5, sense(3, 0x0c, 0));
    for (let i = 0; i < AT_ONCE; i++) if (i !== 5) session.answer(i);
    expect(session.sent).toHaveLength(AT_ONCE);
    expect(answers).toEqual([['discard 0', 'EIO']]);
  });

  it('is begun anew on another path, and late answers of the old one send nothing', async () => {
    const { clock, dispatcher, session, answers } = bench;
    bench.release(session, { maxWriteSameBlocks: 8 });
    discard(8 * 40);
    for (let i = 0; i < 8; i++) session.answer(i);
    expect(dispatcher.abandon()).toBe(1);
    const next = new LateSession(clock);
    next.auto = () => good();
    bench.release(next, { maxWriteSameBlocks: 16 });
    session.answer(20);
    await clock.settle();
    expect([session.sent.length, next.sent.length]).toEqual([40, 20]);
    expect(answers).toEqual([['discard 0', undefined]]);
  });

  it('held, it goes on to its end; frozen, nothing of it goes out until it is resumed', async () => {
    const { clock, dispatcher, session, answers } = bench;
    bench.release(session, { maxWriteSameBlocks: 8 });
    discard(8 * 40);
    dispatcher.hold();
    session.answer(0);
    expect(session.sent).toHaveLength(AT_ONCE + 1);
    dispatcher.freeze();
    session.answer(1);
    session.answer(2, BUSY);
    await clock.advance(5_000);
    expect(session.sent).toHaveLength(AT_ONCE + 1);
    dispatcher.resume();
    expect(session.sent).toHaveLength(AT_ONCE + 3);
    for (let i = 3; i < 41; i++) session.answer(i);
    expect(answers).toEqual([['discard 0', undefined]]);
  });

  it('frozen with an error it is answered when all that was sent has ended', () => {
    const { dispatcher, session, answers } = bench;
    bench.release(session, { maxWriteSameBlocks: 8 });
    discard(8 * 40);
    session.answer(0, sense(3, 0x0c, 0));
    dispatcher.freeze();
    for (let i = 1; i < AT_ONCE; i++) session.answer(i);
    dispatcher.resume();
    expect(session.sent).toHaveLength(AT_ONCE);
    expect(answers).toEqual([['discard 0', 'EIO']]);
  });
});
