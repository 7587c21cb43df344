/** The register checker says what a search through all orders says, and says it at the read that shows it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { type Operation, RegisterChecker } from '../support/model/register-checker.ts';

interface Op {
  readonly kind: 'read' | 'write';
  /** Of a read: what it returned. */
  readonly value: number;
  readonly start: number;
  /** Infinity: never answered. */
  readonly end: number;
}

/** Tries every order that time allows (Wing and Gong, 1993). */
function linearizable(ops: readonly Op[], value = 0): boolean {
  const open = ops.filter(({ end }) => end !== Infinity);
  if (open.length === 0) return true;
  const firstEnd = Math.min(...ops.map(({ end }) => end));
  return ops.some((op) => {
    if (op.start > firstEnd || (op.kind === 'read' && op.value !== value)) return false;
    const rest = ops.filter((other) => other !== op);
    return linearizable(rest, op.kind === 'write' ? op.value : value);
  });
}

/** What the checker says, told everything in the order of time; the end of the read that it says it at. */
function judge(ops: readonly Op[]): number | undefined {
  const checker = new RegisterChecker(1);
  const moments = ops.flatMap((op) => {
    const { kind, value, start, end } = op;
    let operation: Operation;
    const begin = (): undefined => {
      operation = checker.begin({ kind, block: 0, value: kind === 'write' ? value : 0, start });
    };
    const close = (): number | undefined => {
      const seen = kind === 'read' ? [value] : [];
      return checker.end(operation, end, seen) === undefined ? undefined : end;
    };
    return [{ at: start, tell: begin }, ...(end === Infinity ? [] : [{ at: end, tell: close }])];
  });
  moments.sort((a, b) => a.at - b.at);
  return moments.map(({ tell }) => tell()).find((at) => at !== undefined);
}

/** Histories of one block: each operation an interval, each write a value of its own, or zeros. */
function histories(most: number, zeros = false): fc.Arbitrary<readonly Op[]> {
  const op = fc.record({
    write: fc.boolean(),
    read: fc.nat({ max: most }),
    from: fc.nat({ max: 1e6 }),
    length: fc.nat({ max: 4e5 }),
    lost: fc.integer({ min: 0, max: 4 }),
    zero: fc.boolean(),
  });
  return fc.array(op, { minLength: 2, maxLength: most }).map((list) =>
    list.map(({ write, read, from, length, lost, zero }, i) => ({
      kind: write ? 'write' : 'read',
      value: zeros && zero ? 0 : write ? i + 1 : read,
      // Never two moments at once.
      start: from + i * 1e-4,
      end: write && lost === 0 ? Infinity : from + length + 0.01 + i * 1e-4,
    })),
  );
}

describe('the register checker', () => {
  it('agrees with a search through all orders', () => {
    let wrong = 0;
    fc.assert(
      fc.property(histories(7), (ops) => {
        const right = linearizable(ops);
        if (!right) wrong++;
        expect(judge(ops) === undefined).toBe(right);
      }),
      { numRuns: 4_000 },
    );
    expect(wrong).toBeGreaterThan(500);
  });

  it('says so at the first read that shows it, whatever was forgotten before', () => {
    fc.assert(
      fc.property(histories(9), (ops) => {
        const at = judge(ops);
        if (at === undefined) return;
        const known = ops
          .filter(({ start }) => start < at)
          .map((op) => (op.end < at ? op : { ...op, end: Infinity }))
          .filter((op) => op.kind === 'write' || op.end !== Infinity);
        expect(linearizable(known)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('finds nothing in zeros of many writers that some order explains, and most of what none does', () => {
    const counts = { wrong: 0, found: 0 };
    fc.assert(
      fc.property(histories(8, true), (ops) => {
        const right = linearizable(ops);
        const found = judge(ops) !== undefined;
        if (right) expect(found).toBe(false);
        else counts.wrong++;
        if (found) counts.found++;
      }),
      { numRuns: 6_000 },
    );
    expect(counts.wrong).toBeGreaterThan(500);
    expect(counts.found).toBeGreaterThan(0.95 * counts.wrong);
  });

  it('forgets nothing that matters in a long history', () => {
    // A true register under six clients, zeros among what they write, and then one read of an old value.
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
        const { checker, values, now } = longRun(seed);
        const old = values.slice(values.length / 2).find((value) => value !== 0) ?? 0;
        const read = checker.begin({ kind: 'read', block: 0, value: 0, start: now });
        expect(checker.end(read, now + 1, [old])?.what).toMatch(/had overwritten/);
      }),
      { numRuns: 50 },
    );
  });
});

/** Six clients on one true register: nothing may be found. */
function longRun(seed: number): {
  readonly checker: RegisterChecker;
  readonly values: readonly number[];
  readonly now: number;
} {
  let state = seed;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % limit;
  };
  const checker = new RegisterChecker(1);
  const clients: ({ readonly op: Operation; got: number | undefined } | undefined)[] = [];
  const values: number[] = [];
  let [now, is] = [0, 0];
  for (let step = 0; step < 2_000; step++) {
    now++;
    const index = below(6);
    const client = clients[index];
    if (client === undefined) {
      const kind = below(2) === 0 ? 'read' : 'write';
      const op = checker.begin({
        kind,
        block: 0,
        value: kind === 'write' && below(4) > 0 ? step + 1 : 0,
        start: now,
      });
      clients[index] = { op, got: undefined };
    } else if (client.got === undefined) {
      // It takes effect here.
      if (client.op.kind === 'write') values.push((is = client.op.value));
      client.got = is;
    } else {
      expect(checker.end(client.op, now, client.op.kind === 'read' ? [client.got] : [])).toBe(
        undefined,
      );
      clients[index] = undefined;
    }
  }
  return { checker, values, now: now + 1 };
}

describe('after settle', () => {
  const start = (checker: RegisterChecker, value: number, at: number): Operation =>
    checker.begin({ kind: 'write', block: 0, value, start: at });
  const read = (checker: RegisterChecker, at: number, value: number): string | undefined => {
    const operation = checker.begin({ kind: 'read', block: 0, value: 0, start: at });
    return checker.end(operation, at + 0.5, [value])?.what;
  };

  it('a lost write that has taken effect is one that had before', () => {
    const checker = new RegisterChecker(1);
    checker.lose(start(checker, 1, 1), 2);
    checker.settle(3);
    expect(read(checker, 4, 1)).toBe(undefined);
    expect(read(checker, 5, 1)).toBe(undefined);
  });

  it('a lost write does not take effect any more', () => {
    const checker = new RegisterChecker(1);
    checker.lose(start(checker, 1, 1), 2);
    checker.settle(3);
    expect(read(checker, 4, 0)).toBe(undefined);
    expect(read(checker, 5, 1)).toMatch(/read 1, which zeros had overwritten/);
  });

  it('without it a lost write may take effect at any time, once', () => {
    const checker = new RegisterChecker(1);
    checker.lose(start(checker, 1, 1), 2);
    checker.end(start(checker, 2, 3), 4);
    expect(read(checker, 5, 2)).toBe(undefined);
    expect(read(checker, 6, 1)).toBe(undefined);
    expect(read(checker, 7, 2)).toMatch(/each before the other|had overwritten/);
  });

  it('a ghost over a newer write is found, however many writes came between', () => {
    const checker = new RegisterChecker(1);
    checker.lose(start(checker, 1, 1), 2);
    checker.settle(3);
    for (let i = 2; i < 100; i++) checker.end(start(checker, i, 2 * i), 2 * i + 1);
    expect(read(checker, 300, 1)).toMatch(/read 1, which \d+ had overwritten/);
  });
});

describe('zeros', () => {
  const wrote = (checker: RegisterChecker, value: number, at: number): void => {
    const operation = checker.begin({ kind: 'write', block: 0, value, start: at });
    checker.end(operation, at + 0.5);
  };
  const lost = (checker: RegisterChecker, at: number): void => {
    checker.lose(checker.begin({ kind: 'write', block: 0, value: 0, start: at }), at + 0.5);
  };
  const zerosAt = (checker: RegisterChecker, at: number): string | undefined => {
    const operation = checker.begin({ kind: 'read', block: 0, value: 0, start: at });
    return checker.end(operation, at + 0.5, [0])?.what;
  };

  it('over which something was written are stale, whoever of many had written them', () => {
    const checker = new RegisterChecker(1);
    wrote(checker, 0, 1);
    wrote(checker, 0, 2);
    expect(zerosAt(checker, 3)).toBe(undefined);
    wrote(checker, 5, 4);
    expect(zerosAt(checker, 5)).toMatch(/read 0, which 5 had overwritten/);
  });

  it('of a discard that was lost with its worker do not come after the next one serves', () => {
    const checker = new RegisterChecker(1);
    wrote(checker, 5, 1);
    lost(checker, 2);
    checker.settle(3);
    wrote(checker, 6, 4);
    expect(zerosAt(checker, 5)).toMatch(/read 0, which 6 had overwritten/);
  });

  it('that nobody else can have written are those of the discard that was lost, once', () => {
    const checker = new RegisterChecker(1);
    wrote(checker, 5, 1);
    lost(checker, 2);
    wrote(checker, 6, 3);
    expect(zerosAt(checker, 4)).toBe(undefined);
    wrote(checker, 7, 5);
    expect(zerosAt(checker, 6)).toMatch(/read 0, which 7 had overwritten/);
  });
});

describe('over a volatile cache', () => {
  const wrote = (checker: RegisterChecker, value: number, at: number): void => {
    const operation = checker.begin({ kind: 'write', block: 0, value, start: at });
    expect(checker.end(operation, at + 0.5)).toBe(undefined);
  };
  const lost = (checker: RegisterChecker, value: number, at: number): void => {
    checker.lose(checker.begin({ kind: 'write', block: 0, value, start: at }), at + 0.5);
  };
  const read = (checker: RegisterChecker, at: number, value: number): string | undefined => {
    const operation = checker.begin({ kind: 'read', block: 0, value: 0, start: at });
    return checker.end(operation, at + 0.5, [value])?.what;
  };

  /** Writes 1 to 4 of which 2 is the last that was flushed, 4 never answered; then a crash. */
  function crashed(): RegisterChecker {
    const checker = new RegisterChecker(1, 'volatile');
    wrote(checker, 1, 1);
    wrote(checker, 2, 2);
    checker.flushed(2.6);
    wrote(checker, 3, 3);
    expect(read(checker, 4, 3)).toBe(undefined);
    lost(checker, 4, 5);
    checker.crash(6);
    return checker;
  }

  it.each([2, 3, 4])('a crash may leave %i, what was flushed last or came after', (value) => {
    const checker = crashed();
    expect([7, 8].map((at) => read(checker, at, value))).toEqual([undefined, undefined]);
  });

  it.each([0, 1])('a crash never leaves %i, which was overwritten by what was flushed', (value) => {
    expect(read(crashed(), 7, value)).toMatch(/read \d, which .* had overwritten/);
  });

  it('what was there after it was there all along: nothing comes back later', () => {
    for (const [first, second] of [
      [2, 3],
      [3, 2],
      [4, 3],
    ] as const) {
      const checker = crashed();
      expect(read(checker, 7, first)).toBe(undefined);
      expect(read(checker, 8, second)).toMatch(/had overwritten|each before the other/);
    }
  });

  it('what was there after it no second crash takes', () => {
    const checker = crashed();
    expect(read(checker, 7, 3)).toBe(undefined);
    checker.crash(9);
    expect(read(checker, 10, 2)).toMatch(/read 2, which/);
    expect(read(checker, 11, 3)).toBe(undefined);
  });

  it('a write with FUA no crash takes, and nothing that was before it comes back', () => {
    const fua = (): RegisterChecker => {
      const checker = new RegisterChecker(1, 'volatile');
      wrote(checker, 1, 1);
      checker.end(checker.begin({ kind: 'write', block: 0, value: 2, start: 2, fua: true }), 2.5);
      wrote(checker, 3, 3);
      checker.crash(4);
      return checker;
    };
    expect(read(fua(), 5, 3)).toBe(undefined);
    expect(read(fua(), 5, 2)).toBe(undefined);
    expect(read(fua(), 5, 1)).toMatch(/read 1, which 2 had overwritten/);
    expect(read(fua(), 5, 0)).toMatch(/read 0, which/);
  });

  it('without a crash everything that was answered stays, flushed or not', () => {
    const checker = new RegisterChecker(1, 'volatile');
    for (let value = 1; value < 50; value++) wrote(checker, value, value);
    expect(read(checker, 60, 48)).toMatch(/read 48, which 49 had overwritten/);
  });

  it('nothing is found in a disk that loses what it may, and whatever was flushed is missed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 }), (seed) => {
        const { checker, shown, now } = crashes(seed);
        wrote(checker, 9_999, now + 1);
        checker.flushed(now + 2);
        checker.crash(now + 3);
        expect(read(checker, now + 4, shown)).toMatch(/read \d+, which/);
      }),
      { numRuns: 100 },
    );
  });
});

/**
 * Four clients on one block of a disk whose cache is flushed and loses power now and then. `shown`: the
 * last value that they left there.
 */
function crashes(seed: number): {
  readonly checker: RegisterChecker;
  readonly shown: number;
  readonly now: number;
} {
  const prng = new Prng(seed);
  const checker = new RegisterChecker(1, 'volatile');
  let clients: ({ readonly op: Operation; got: number | undefined } | undefined)[] = [];
  let medium = 0;
  /** What was written since the flush; any of it may be destaged. */
  let cached: number[] = [];
  const is = (): number => cached.at(-1) ?? medium;
  let now = 0;
  for (let step = 1; step <= 1_000; step++) {
    now++;
    if (prng.below(40) === 0) {
      // Begins and ends here: all that was answered has taken effect before.
      medium = is();
      cached = [];
      checker.flushed(now);
    } else if (prng.below(120) === 0) {
      for (const client of clients) if (client !== undefined) checker.lose(client.op, now);
      clients = [];
      medium = cached[prng.below(cached.length + 1)] ?? medium;
      cached = [];
      checker.crash((now += 0.5));
    } else {
      const index = prng.below(4);
      const client = clients[index];
      if (client === undefined) {
        const kind = prng.below(2) === 0 ? 'read' : 'write';
        const value = kind === 'write' ? step : 0;
        clients[index] = {
          op: checker.begin({ kind, block: 0, value, start: now }),
          got: undefined,
        };
      } else if (client.got === undefined) {
        if (client.op.kind === 'write') cached.push(client.op.value);
        client.got = is();
      } else {
        const seen = client.op.kind === 'read' ? [client.got] : [];
        expect(checker.end(client.op, now, seen)).toBe(undefined);
        clients[index] = undefined;
      }
    }
  }
  for (const client of clients) if (client !== undefined) checker.lose(client.op, now);
  checker.settle(++now);
  return { checker, shown: is(), now };
}
