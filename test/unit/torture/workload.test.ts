/** The clients of torture against a worker that is a plain array: true, or wrong in one way. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { filled, type Run, runsOf, sectorsOf, type ToWorker } from '../../torture/messages.ts';
import { Tally } from '../../torture/tally.ts';
import { Workload } from '../../torture/workload.ts';

type Io = Extract<ToWorker, { kind: 'io' }>;

const OFFERS = ['discard', 'write-zeroes'] as const;

/** One sector that shows this, or nothing that was ever written. */
function shown(value = 0): Run {
  return [1, value];
}

interface Wrong {
  /** Forgets the writes with these numbers, and says that all is well. */
  readonly forgets?: (io: Io) => boolean;
  /** Answers so instead of well. */
  readonly error?: (io: Io) => string | undefined;
}

interface Heard {
  readonly violations: string[];
  readonly failed: string[];
  readonly revived: string[];
}

// The clients think for milliseconds: of real ones the order of events would depend on the machine.
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function untilNone(left: () => number): Promise<void> {
  while (left() > 0) await vi.advanceTimersByTimeAsync(1);
}

async function ended(workload: Workload): Promise<void> {
  const stopped = workload.stop();
  await vi.runAllTimersAsync();
  await stopped;
}

/** Runs the clients until so many operations were answered. */
async function run(wrong: Wrong, answers = 1_500): Promise<Heard> {
  const heard: Heard = { violations: [], failed: [], revived: [] };
  const registers = new Map<number, number>();
  let left = answers;
  const workload = new Workload(new Prng(7), new Tally(), false, {
    tell: (message) => {
      if (message.kind !== 'io') return;
      const { id, op, at, sectors, value } = message;
      const error = wrong.error?.(message);
      const places = Array.from({ length: sectors }, (_, i) => at + i);
      if (op !== 'read' && error === undefined && wrong.forgets?.(message) !== true) {
        for (const place of places) registers.set(place, value);
      }
      const seen = op === 'read' ? places.map((place) => shown(registers.get(place))) : [];
      setImmediate(() => workload.hear({ kind: 'done', id, error, seen }));
      left--;
    },
    violated: ({ what }) => heard.violations.push(what),
    failed: (op, error) => heard.failed.push(`${op} ${error}`),
    revived: (op) => heard.revived.push(op),
  });
  workload.serve(OFFERS);
  workload.start();
  await untilNone(() => left);
  await ended(workload);
  return heard;
}

describe('what a read shows', () => {
  it('is told in runs of sectors, and each of them is there', () => {
    const data = Buffer.concat([filled(3, 7), filled(1, 0), filled(2, 9)]);
    const runs = runsOf(data);
    expect(runs).toEqual([
      [3, 7],
      [1, 0],
      [2, 9],
    ]);
    expect(sectorsOf(runs)).toEqual([[7], [7], [7], [0], [9], [9]]);
  });

  it('has every value of a sector that is torn, wherever it is', () => {
    const data = filled(2, 7);
    data.writeUInt32LE(8, 512 + 256);
    expect(runsOf(data)).toEqual([
      [1, 7],
      [1, 7, 8],
    ]);
  });
});

describe('the clients of torture', () => {
  it('find nothing wrong with an array', async () => {
    expect(await run({})).toEqual({ violations: [], failed: [], revived: [] });
  });

  it('see an acknowledged write that was not made', async () => {
    const { violations } = await run({ forgets: ({ value }) => value % 50 === 0 });
    expect(violations[0]).toMatch(/had overwritten before the read began/);
  });

  it.each(['discard', 'write-zeroes'] as const)('see a %s that left what was there', async (op) => {
    const { violations } = await run({ forgets: (io) => io.op === op && io.id % 5 === 0 });
    expect(violations[0]).toMatch(/which zeros had overwritten before the read began/);
  });

  it('see one sector of many that was not written, whichever it is', async () => {
    const forgets = ({ value, sectors }: Io): boolean => value % 9 === 0 && sectors === 1;
    expect((await run({ forgets }, 3_000)).violations[0]).toMatch(/had overwritten/);
  });

  it('see that something succeeds after an error', async () => {
    const { failed, revived } = await run({ error: ({ id }) => (id === 700 ? 'EIO' : undefined) });
    expect(failed).toHaveLength(1);
    expect(revived.length).toBeGreaterThan(0);
  });

  it('take errors to the end for what a failed volume answers', async () => {
    const { failed, revived, violations } = await run({
      error: ({ id }) => (id >= 700 ? 'EIO' : undefined),
    });
    expect(failed.length).toBeGreaterThan(100);
    expect([revived, violations]).toEqual([[], []]);
  });
});

/** A worker with a volatile cache, which is killed every now and then when the power fails, or without. */
async function crashing(how: {
  readonly flushes: boolean;
  readonly power: boolean;
}): Promise<string[]> {
  const violations: string[] = [];
  const prng = new Prng(9);
  const medium = new Map<number, number>();
  const cache = new Map<number, number>();
  let life = 0;
  let left = 1_500;
  const workload = new Workload(new Prng(7), new Tally(), true, {
    tell: (message) => {
      if (message.kind !== 'io') return;
      const { id, op, at, sectors, value, fua } = message;
      const places = Array.from({ length: sectors }, (_, i) => at + i);
      for (const place of op === 'read' ? [] : places) {
        cache.set(place, value);
        if (fua) medium.set(place, value);
        if (fua) cache.delete(place);
      }
      if (op === 'flush' && how.flushes) for (const [place, is] of cache) medium.set(place, is);
      const is = (place: number): number | undefined => cache.get(place) ?? medium.get(place);
      const seen = op === 'read' ? places.map((place) => shown(is(place))) : [];
      const now = life;
      setImmediate(() => {
        if (now === life) workload.hear({ kind: 'done', id, error: undefined, seen });
        if (--left % 100 === 0) crash();
      });
    },
    violated: ({ what }) => violations.push(what),
    failed: () => undefined,
    revived: () => undefined,
  });
  const crash = (): void => {
    life++;
    workload.lose();
    if (how.power) workload.blackOut();
    for (const place of cache.keys()) if (prng.below(2) === 0) cache.delete(place);
    for (const [place, is] of cache) medium.set(place, is);
    cache.clear();
    workload.serve(OFFERS);
  };
  workload.serve(OFFERS);
  workload.start();
  await untilNone(() => left);
  await ended(workload);
  return violations;
}

describe('over a volatile cache', () => {
  it('what is not flushed may go with worker and power', async () => {
    expect(await crashing({ flushes: true, power: true })).toEqual([]);
  });

  it('what was flushed must not, and nothing with the worker alone', async () => {
    expect((await crashing({ flushes: false, power: true })).length).toBeGreaterThan(0);
    expect((await crashing({ flushes: true, power: false })).length).toBeGreaterThan(0);
  });
});
