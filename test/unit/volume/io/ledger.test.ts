/** The one order: who waits for whom, what a replay is, and what a flush waits for. */
import { describe, expect, it } from 'vitest';
import type { IoKind, IoRequest } from '../../../../src/ports/block.ts';
import { Ledger, type Entry } from '../../../../src/volume/io/ledger.ts';

function request(kind: IoKind, offset = 0, length = kind === 'flush' ? 0 : 512): IoRequest {
  return { kind, offset, length, data: undefined, fua: false, done: () => undefined };
}

function drainReady(ledger: Ledger): Entry[] {
  const entries: Entry[] = [];
  for (let entry = ledger.next(); entry !== undefined; entry = ledger.next()) entries.push(entry);
  return entries;
}

const CHANGING = ['write', 'discard', 'write-zeroes'] as const;

describe('rule 1: overlapping requests of which one changes data', () => {
  for (const first of CHANGING) {
    for (const second of CHANGING) {
      it(`${second} waits for an overlapping ${first}`, () => {
        const ledger = new Ledger();
        const a = ledger.admit(request(first, 0, 1024));
        const b = ledger.admit(request(second, 512, 1024));
        expect(drainReady(ledger)).toEqual([a]);
        ledger.settle(a);
        expect(drainReady(ledger)).toEqual([b]);
      });
    }
  }

  it('neighbours that only touch do not wait', () => {
    const ledger = new Ledger();
    ledger.admit(request('write', 0, 512));
    ledger.admit(request('write', 512, 512));
    expect(drainReady(ledger)).toHaveLength(2);
  });

  it('a third one waits for both before it', () => {
    const ledger = new Ledger();
    const a = ledger.admit(request('write', 0, 512));
    const b = ledger.admit(request('write', 512, 512));
    const c = ledger.admit(request('write', 0, 1024));
    drainReady(ledger);
    ledger.settle(b);
    expect(ledger.next()).toBeUndefined();
    ledger.settle(a);
    expect(ledger.next()).toBe(c);
  });
});

describe('rule 1: reads', () => {
  it.each(CHANGING)('a read that overlaps an unanswered %s waits for its answer', (kind) => {
    const ledger = new Ledger();
    const change = ledger.admit(request(kind, 0, 1024));
    const read = ledger.admit(request('read', 512, 1024));
    const apart = ledger.admit(request('read', 1024));
    expect(drainReady(ledger)).toEqual([change, apart]);
    ledger.settle(change);
    expect(drainReady(ledger)).toEqual([read]);
  });

  it.each(CHANGING)('a %s that overlaps a read under way waits for it', (kind) => {
    const ledger = new Ledger();
    const read = ledger.admit(request('read', 0, 1024));
    const change = ledger.admit(request(kind, 512, 1024));
    const apart = ledger.admit(request(kind, 2048));
    expect(drainReady(ledger)).toEqual([read, apart]);
    ledger.settle(read);
    expect(drainReady(ledger)).toEqual([change]);
  });

  it('never wait for each other', () => {
    const ledger = new Ledger();
    ledger.admit(request('read'));
    ledger.admit(request('read'));
    expect(drainReady(ledger)).toHaveLength(2);
  });

  it('wait for a write that waits itself, so that each has its place', () => {
    const ledger = new Ledger();
    const all = (['read', 'write', 'read', 'discard', 'read'] as const).map((kind) =>
      ledger.admit(request(kind)),
    );
    for (const entry of all) {
      expect(drainReady(ledger)).toEqual([entry]);
      ledger.settle(entry);
    }
    expect(ledger.size).toBe(0);
  });

  it('wait for a write being replayed, those that came before the switch and those after it', () => {
    const ledger = new Ledger();
    const write = ledger.admit(request('write'));
    const early = ledger.admit(request('read'));
    drainReady(ledger);
    ledger.abandon();
    const late = ledger.admit(request('read'));
    const apart = ledger.admit(request('read', 512));
    expect(drainReady(ledger)).toEqual([write, apart]);
    ledger.settle(write);
    expect(drainReady(ledger)).toEqual([early, late]);
  });

  it('a write behind a read that is issued again waits for it, and no flush does', () => {
    const ledger = new Ledger();
    const read = ledger.admit(request('read'));
    const write = ledger.admit(request('write'));
    const flush = ledger.admit(request('flush'));
    expect(drainReady(ledger)).toEqual([read, flush]);
    expect(ledger.abandon()).toBe(0);
    expect([read.replayed, write.replayed]).toEqual([false, false]);
    expect(drainReady(ledger)).toEqual([read, flush]);
    ledger.settle(read);
    expect(drainReady(ledger)).toEqual([write]);
  });
});

describe('rule 2: a flush', () => {
  it('does not wait for writes under way', () => {
    const ledger = new Ledger();
    ledger.admit(request('write'));
    ledger.admit(request('flush'));
    expect(drainReady(ledger)).toHaveLength(2);
  });

  it.each(['write', 'discard', 'write-zeroes'] as const)(
    'waits for every replay, whatever its age, of a %s too',
    (kind) => {
      const ledger = new Ledger();
      const flush = ledger.admit(request('flush'));
      const younger = ledger.admit(request('write', 0));
      const elsewhere = ledger.admit(request(kind, 4096));
      drainReady(ledger);
      ledger.abandon();
      const late = ledger.admit(request('flush'));
      expect(drainReady(ledger)).toEqual([younger, elsewhere]);
      ledger.settle(younger);
      expect(ledger.next()).toBeUndefined();
      ledger.settle(elsewhere);
      expect(drainReady(ledger)).toEqual([flush, late]);
    },
  );
});

describe('replay', () => {
  it('is in submission order, ahead of what came later', () => {
    const ledger = new Ledger();
    const entries = [0, 1, 2, 3].map((i) => ledger.admit(request('write', i * 512)));
    drainReady(ledger);
    const held = ledger.admit(request('write', 9 * 512));
    expect(ledger.abandon()).toBe(4);
    expect(drainReady(ledger)).toEqual([...entries, held]);
  });

  it('keeps the order of overlapping ones that had not been issued yet', () => {
    const ledger = new Ledger();
    const a = ledger.admit(request('write'));
    const b = ledger.admit(request('write'));
    drainReady(ledger);
    expect(ledger.abandon()).toBe(1);
    expect([a.replayed, b.replayed]).toEqual([true, false]);
    expect(drainReady(ledger)).toEqual([a]);
    ledger.settle(a);
    expect(drainReady(ledger)).toEqual([b]);
  });

  it('forgets the errors and counts of the issue that was lost', () => {
    const ledger = new Ledger();
    const a = ledger.admit(request('write'));
    drainReady(ledger);
    Object.assign(a, { error: 'EIO', unanswered: 2, unfinished: 2 });
    ledger.abandon();
    expect(a).toMatchObject({ state: 'waiting', error: undefined, unanswered: 0, unfinished: 0 });
  });

  it('marks for good: lost twice, it is still a replay, and counted once each time', () => {
    const ledger = new Ledger();
    const a = ledger.admit(request('write'));
    drainReady(ledger);
    expect(ledger.abandon()).toBe(1);
    expect(ledger.abandon()).toBe(0);
    drainReady(ledger);
    expect(ledger.abandon()).toBe(1);
    expect(a.replayed).toBe(true);
  });

  it('does not count reads and flushes', () => {
    const ledger = new Ledger();
    ledger.admit(request('read'));
    ledger.admit(request('flush'));
    drainReady(ledger);
    expect(ledger.abandon()).toBe(0);
  });
});

describe('counts', () => {
  it('unanswered writes are the data-changing ones with a command out', () => {
    const ledger = new Ledger();
    for (const kind of ['write', 'read', 'discard'] as const) ledger.admit(request(kind, 4096));
    const entries = drainReady(ledger);
    for (const entry of entries) entry.unanswered = 1;
    expect(ledger.unansweredWrites).toBe(1); // the discard overlaps the write and waits
    (entries[0] as Entry).unanswered = 0;
    expect(ledger.unansweredWrites).toBe(0);
  });

  it('issued, waiting and size add up', () => {
    const ledger = new Ledger();
    const a = ledger.admit(request('write'));
    ledger.admit(request('write'));
    drainReady(ledger);
    expect([ledger.issued, ledger.waiting, ledger.size]).toEqual([1, 1, 2]);
    ledger.settle(a);
    expect([ledger.issued, ledger.waiting, ledger.size]).toEqual([0, 1, 1]);
  });

  it('settling twice is a programmer error', () => {
    const ledger = new Ledger();
    const a = ledger.admit(request('write'));
    drainReady(ledger);
    ledger.settle(a);
    expect(() => ledger.settle(a)).toThrow('only an issued entry');
  });

  it('drain hands out everything in order, and nothing is left', () => {
    const ledger = new Ledger();
    const all = [ledger.admit(request('write')), ledger.admit(request('write'))];
    drainReady(ledger);
    expect(ledger.drain()).toEqual(all);
    expect([ledger.size, ledger.issued, ledger.next()]).toEqual([0, 0, undefined]);
  });
});
