/** The ledger under write policy `log`: what is kept, what comes back, who waits, and for what room. */
import { describe, expect, it } from 'vitest';
import type { IoKind, IoRequest } from '../../../../src/ports/block.ts';
import { type Entry, Ledger } from '../../../../src/volume/io/ledger.ts';
import type { LogLimits } from '../../../../src/volume/io/write-log.ts';

const AMPLE: LogLimits = { bytes: 1 << 20, count: 1000 };

function request(kind: IoKind, offset = 0, length = kind === 'flush' ? 0 : 512): IoRequest {
  const data = kind === 'write' ? Buffer.alloc(length, 7) : undefined;
  return { kind, offset, length, data, fua: false, done: () => undefined };
}

function drainReady(ledger: Ledger): Entry[] {
  const entries: Entry[] = [];
  for (let entry = ledger.next(); entry !== undefined; entry = ledger.next()) entries.push(entry);
  return entries;
}

/** Issues it and lets the target acknowledge it. */
function acknowledge(ledger: Ledger, what: IoRequest): void {
  const entry = ledger.admit(what);
  expect(ledger.next()).toBe(entry);
  ledger.settle(entry, 'unstable');
}

const seen = (entries: readonly Entry[]): string[] =>
  entries.map(({ request: { kind, offset } }) => `${kind} ${String(offset)}`);

describe('what was acknowledged and not flushed', () => {
  it('comes back when the path is abandoned, before everything else, with its own payload', () => {
    const ledger = new Ledger(() => AMPLE);
    const write = request('write', 0);
    acknowledge(ledger, write);
    write.data?.fill(0xee); // its owner does with it what it likes
    acknowledge(ledger, request('discard', 4096));
    const live = ledger.admit(request('write', 8192));
    drainReady(ledger);
    expect(ledger.abandon()).toBe(3);
    const entries = drainReady(ledger);
    expect(seen(entries)).toEqual(['write 0', 'discard 4096', 'write 8192']);
    expect(entries[0]?.request.data?.every((byte) => byte === 7)).toBe(true);
    expect(entries.map(({ acknowledged }) => acknowledged)).toEqual([true, true, false]);
    expect(entries[2]).toBe(live);
  });

  it('does not come back once it was flushed', () => {
    const ledger = new Ledger(() => AMPLE);
    acknowledge(ledger, request('write'));
    ledger.flushed(ledger.log.mark);
    expect([ledger.abandon(), ledger.next()]).toEqual([0, undefined]);
  });

  it('is in the log again once its replay was acknowledged, and comes back again', () => {
    const ledger = new Ledger(() => AMPLE);
    acknowledge(ledger, request('write'));
    for (let round = 0; round < 3; round++) {
      expect(ledger.abandon()).toBe(1);
      const [replay] = drainReady(ledger);
      expect([ledger.log.count, ledger.unflushed]).toEqual([0, 1]);
      ledger.settle(replay as Entry, 'unstable');
      expect([ledger.log.count, ledger.unflushed]).toEqual([1, 1]);
    }
  });

  it('left half replayed, it comes back whole', () => {
    const ledger = new Ledger(() => AMPLE);
    for (const offset of [0, 4096]) acknowledge(ledger, request('write', offset));
    ledger.abandon();
    const [first] = drainReady(ledger);
    ledger.settle(first as Entry, 'unstable');
    expect(ledger.abandon()).toBe(2);
    expect(seen(drainReady(ledger)).sort()).toEqual(['write 0', 'write 4096']);
  });

  it('counts as a write that the old path may still bring back', () => {
    const ledger = new Ledger(() => AMPLE);
    acknowledge(ledger, request('write'));
    expect(ledger.unansweredWrites).toBe(1);
    ledger.flushed(ledger.log.mark);
    expect(ledger.unansweredWrites).toBe(0);
  });
});

describe('until it is replayed', () => {
  it('reads that overlap wait, those that were under way when the path was lost too; others do not', () => {
    const ledger = new Ledger(() => AMPLE);
    acknowledge(ledger, request('write', 0));
    acknowledge(ledger, request('write', 0));
    const early = ledger.admit(request('read', 0));
    expect(drainReady(ledger)).toEqual([early]);
    ledger.abandon();
    const late = ledger.admit(request('read', 0));
    const apart = ledger.admit(request('read', 512));
    const [replay, ...others] = drainReady(ledger);
    expect(others).toEqual([apart]);
    ledger.settle(replay as Entry, 'unstable');
    expect(drainReady(ledger)).toEqual([early, late]);
  });

  it('writes that overlap wait, those under way when the path was lost and later ones', () => {
    const ledger = new Ledger(() => AMPLE);
    acknowledge(ledger, request('write', 0));
    const under = ledger.admit(request('write', 0));
    drainReady(ledger);
    ledger.abandon();
    const late = ledger.admit(request('discard', 0));
    const [replay, ...others] = drainReady(ledger);
    expect([replay?.acknowledged, others]).toEqual([true, []]);
    ledger.settle(replay as Entry, 'unstable');
    expect(drainReady(ledger)).toEqual([under]);
    ledger.settle(under, 'unstable');
    expect(drainReady(ledger)).toEqual([late]);
  });

  it('a flush waits, one from before the path was lost too', () => {
    const ledger = new Ledger(() => AMPLE);
    acknowledge(ledger, request('write', 0));
    const early = ledger.admit(request('flush'));
    drainReady(ledger);
    ledger.abandon();
    const late = ledger.admit(request('flush'));
    const [replay, ...others] = drainReady(ledger);
    expect(others).toEqual([]);
    ledger.settle(replay as Entry, 'unstable');
    expect(drainReady(ledger)).toEqual([early, late]);
  });
});

describe('the bound', () => {
  it.each([
    ['count', { bytes: 1 << 20, count: 2 }],
    ['bytes', { bytes: 1024, count: 1000 }],
  ] as const)('of %s: writes wait, in their order, until a flush makes room', (_, limits) => {
    const ledger = new Ledger(() => limits);
    acknowledge(ledger, request('write', 0));
    const second = ledger.admit(request('write', 512));
    const third = ledger.admit(request('write', 1024));
    const fourth = ledger.admit(request('write', 1536));
    expect(drainReady(ledger)).toEqual([second]); // one in the log, one on its way into it
    expect(ledger.wantsFlush).toBe(true);
    ledger.flushed(ledger.log.mark);
    expect(drainReady(ledger)).toEqual([third]);
    ledger.settle(second, 'unstable');
    expect(drainReady(ledger)).toEqual([]);
    ledger.flushed(ledger.log.mark);
    expect(drainReady(ledger)).toEqual([fourth]);
  });

  it('flushes never wait for room, nor reads, but what overlaps a write that does waits for it', () => {
    const ledger = new Ledger(() => ({ bytes: 512, count: 1000 }));
    acknowledge(ledger, request('write', 0));
    const waits = ledger.admit(request('write', 512));
    const over = ledger.admit(request('discard', 512));
    const behind = ledger.admit(request('read', 512));
    const apart = ledger.admit(request('read', 0));
    const flush = ledger.admit(request('flush'));
    expect(drainReady(ledger)).toEqual([apart, flush]);
    ledger.flushed(ledger.log.mark);
    expect(drainReady(ledger)).toEqual([waits]);
    ledger.settle(waits, 'unstable');
    expect(drainReady(ledger)).toEqual([over]);
    ledger.settle(over, 'unstable');
    expect(drainReady(ledger)).toEqual([behind]);
  });

  it('a replay keeps the room that it had: the flush that makes room waits for it', () => {
    const ledger = new Ledger(() => ({ bytes: 1 << 20, count: 2 }));
    acknowledge(ledger, request('write', 0));
    const read = ledger.admit(request('read', 4096));
    const early = ledger.admit(request('write', 4096));
    const late = ledger.admit(request('write', 8192));
    expect(drainReady(ledger)).toEqual([read, late]);
    ledger.settle(read);
    expect(drainReady(ledger)).toEqual([]); // `late` has the last room
    ledger.abandon();
    const flush = ledger.admit(request('flush'));
    const replays = drainReady(ledger);
    expect(seen(replays)).toEqual(['write 0', 'write 8192']);
    for (const replay of replays) ledger.settle(replay, 'unstable');
    expect(drainReady(ledger)).toEqual([flush]);
    ledger.settle(flush);
    ledger.flushed(ledger.log.mark);
    expect(drainReady(ledger)).toEqual([early]);
  });

  it('a write that failed gives its room back', () => {
    const ledger = new Ledger(() => ({ bytes: 512, count: 1000 }));
    const first = ledger.admit(request('write', 0));
    const second = ledger.admit(request('write', 512));
    expect(drainReady(ledger)).toEqual([first]);
    ledger.settle(first);
    expect(drainReady(ledger)).toEqual([second]);
  });

  it('one that is larger than the bound goes alone', () => {
    const ledger = new Ledger(() => ({ bytes: 512, count: 1000 }));
    const large = ledger.admit(request('write', 0, 4096));
    expect(drainReady(ledger)).toEqual([large]);
  });

  it('replays need no room, and what they take is not given twice', () => {
    const ledger = new Ledger(() => ({ bytes: 1024, count: 1000 }));
    for (const offset of [0, 512]) acknowledge(ledger, request('write', offset));
    ledger.abandon();
    const late = ledger.admit(request('write', 4096));
    const replays = drainReady(ledger);
    expect(seen(replays)).toEqual(['write 0', 'write 512']);
    for (const replay of replays) ledger.settle(replay, 'unstable');
    expect(ledger.next()).toBeUndefined();
    ledger.flushed(ledger.log.mark);
    expect(ledger.next()).toBe(late);
  });

  it('a flush of our own is due from half of it on', () => {
    const ledger = new Ledger(() => ({ bytes: 1 << 20, count: 4 }));
    acknowledge(ledger, request('write', 0));
    expect(ledger.wantsFlush).toBe(false);
    acknowledge(ledger, request('write', 512));
    expect(ledger.wantsFlush).toBe(true);
  });

  it('under `through` there is none, and what `log` has left behind wants a flush', () => {
    let limits: LogLimits | undefined = AMPLE;
    const ledger = new Ledger(() => limits);
    acknowledge(ledger, request('write', 0));
    limits = undefined;
    expect(ledger.wantsFlush).toBe(true);
    ledger.flushed(ledger.log.mark);
    expect(ledger.wantsFlush).toBe(false);
  });
});

describe('a sample of what was flushed', () => {
  it('is the newest write, unless something has touched it since', () => {
    const ledger = new Ledger(() => AMPLE);
    acknowledge(ledger, request('write', 0));
    acknowledge(ledger, request('write', 512));
    expect(ledger.flushed(ledger.log.mark)).toMatchObject({ offset: 512 });
    acknowledge(ledger, request('write', 0));
    const { mark } = ledger.log;
    acknowledge(ledger, request('write', 0));
    expect(ledger.flushed(mark)).toBeUndefined();
    ledger.admit(request('discard', 0));
    expect(ledger.flushed(ledger.log.mark)).toBeUndefined();
  });
});

it('drain leaves nothing to replay', () => {
  const ledger = new Ledger(() => AMPLE);
  acknowledge(ledger, request('write'));
  expect([ledger.drain(), ledger.abandon(), ledger.unflushed]).toEqual([[], 0, 0]);
});
